"""Masks from scores: which weights are pruned, exactly as many as requested."""

import math

import torch
from torch import Tensor


def topk_mask(scores: list[Tensor], count: int) -> list[Tensor]:
    """Boolean masks, one per tensor of scores, False at exactly the `count` elements of lowest score.

    Of equal scores the earlier ones are pruned first, so the result does not depend on the machine.
    """
    flat = torch.cat([score.flatten() for score in scores])
    keep = torch.ones_like(flat, dtype=torch.bool)
    if count:
        # Same result as sorting, several times faster; on the CPU, where the operation is deterministic.
        threshold = flat.cpu().kthvalue(count).values.to(flat.device)
        keep = ~(flat < threshold)  # NaN is kept
        ties = (flat == threshold).nonzero().flatten()
        keep[ties[: count - int((~keep).sum())]] = False
    parts = keep.split([score.numel() for score in scores])
    return [part.view_as(score) for part, score in zip(parts, scores, strict=True)]


def topk_mask_in_groups(scores: Tensor, kept: int, size: int, dim: int) -> Tensor:
    """Boolean mask, True at the `kept` highest scores of every `size` consecutive elements along a dimension."""
    groups = scores.movedim(dim, -1).unflatten(-1, (-1, size))
    gone = groups.argsort(dim=-1, stable=True)[..., : size - kept]
    keep = torch.ones_like(groups, dtype=torch.bool).scatter(-1, gone, False)
    return keep.flatten(-2).movedim(-1, dim)


def allocate(sizes: list[int], zeros: list[int], amounts: list[float], count: int) -> list[int]:
    """The number of weights of each layer that are to be zero, with the sum `count`, and at least the present zeros.

    A layer with the amount a keeps the fraction ``(1 - a)^c`` of its weights; c is the same for all layers and follows
    from `count`. Equal amounts give equal sparsity, c = 1 gives the amounts themselves, and a layer with the amount 0
    is not pruned.

    Args:
        sizes, zeros: the number of weights of each layer, and of those that are zero already.
        amounts: the amount of each layer, at least 0 and below 1.
        count: at most the number of all weights of layers with an amount above 0 and of the zeros of the others.
    """

    def wanted(c: float) -> list[float]:
        parts = [-math.expm1(c * math.log1p(-a)) if a else 0.0 for a in amounts]
        return [max(zero, size * part) for size, zero, part in zip(sizes, zeros, parts, strict=True)]

    if sum(zeros) >= count:
        return zeros
    low, high = 0.0, 1.0
    while sum(wanted(high)) < count:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(wanted(middle)) < count else (low, middle)
    exact = wanted(high)
    counts = [math.floor(number) for number in exact]
    by_remainder = sorted(range(len(exact)), key=lambda layer: counts[layer] - exact[layer])
    for layer in by_remainder[: count - sum(counts)]:  # the largest remainders are rounded up
        counts[layer] += 1
    return counts
