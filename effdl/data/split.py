"""Stratified splits: every part has the share of each class, up to rounding, and an exact size.

All functions choose from one list: the images, shuffled and then sorted by class. A class is a contiguous part of
that list, so an evenly spaced choice takes the same share of each class, rounded down or up. The result depends only on
the seed; torch's global generator is not used. Labels may be on any device; indices are on the CPU.
"""

import torch
from torch import Tensor


def stratified_subset(labels: Tensor, size: int, seed: int) -> Tensor:
    """Sorted indices (``size``,) of a stratified random subset of ``labels`` (N,), size <= N."""
    position = torch.arange(len(labels) + 1) * size // max(len(labels), 1)
    chosen = position[1:] > position[:-1]  # evenly spaced, exactly ``size`` times true
    return shuffled_by_class(labels, _drawn_with(seed))[chosen].sort().values


def stratified_labelled(labels: Tensor, size: int, seed: int) -> Tensor:
    """Sorted indices (``size``,) of one random image of each class there is, and of a stratified subset of the others.

    ``size`` is from the number of these classes to N.
    """
    labels = labels.cpu()
    order = shuffled_by_class(labels, _drawn_with(seed))
    first = torch.ones(len(order), dtype=torch.bool)
    first[1:] = labels[order[1:]] != labels[order[:-1]]
    others = order[~first]
    position = torch.arange(len(others) + 1) * (size - int(first.sum())) // max(len(others), 1)
    chosen = position[1:] > position[:-1]
    return torch.cat([order[first], others[chosen]]).sort().values


def stratified_holdout(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Sorted indices ``(kept, held)``, where held is a stratified subset of round(fraction * N) of the labels."""
    held = stratified_subset(labels, round(fraction * len(labels)), seed)
    return without(held, len(labels)), held


def stratified_folds(labels: Tensor, folds: int, seed: int) -> list[Tensor]:
    """Sorted indices of ``folds`` disjoint parts that cover all labels; their sizes differ by at most one."""
    order = shuffled_by_class(labels, _drawn_with(seed))
    return [order[fold::folds].sort().values for fold in range(folds)]


def shuffled_by_class(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Indices of all labels (N,), shuffled by a generator and then sorted by class: the list that all choose from."""
    labels, shuffled = labels.cpu(), torch.randperm(len(labels), generator=generator)
    return shuffled[labels[shuffled].argsort(stable=True)]


def _drawn_with(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def without(indices: Tensor, length: int) -> Tensor:
    """Sorted: the indices below ``length`` that are not among these."""
    mask = torch.ones(length, dtype=torch.bool)
    mask[indices] = False
    return mask.nonzero().flatten()
