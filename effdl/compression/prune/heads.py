"""Pruning of attention heads: the result is a smaller dense transformer.

Michel, Levy & Neubig 2019, "Are Sixteen Heads Really Better than One?".
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from effdl.compression.method import compression_method
from effdl.config.types import Count, Fraction, Natural, Positive
from effdl.models.vit import Attention
from effdl.training.trainer import Trainer
from effdl.utils.errors import UserError


def _check(model: nn.Module, level: float) -> None:
    """Check that the model has so many heads to remove.

    Raises:
        UserError: see `heads`.
    """
    counts = [_count(attention) for attention in _attentions(model)]
    if not counts:
        raise UserError("compression=[heads] needs the attention of model=vit; this model has none")
    if number_to_remove(counts, level) > sum(counts) - len(counts):
        raise UserError(
            f"prune={level}: of {sum(counts)} heads one must stay in each of {len(counts)} layers "
            f"(allowed with heads: at most {(sum(counts) - len(counts)) / sum(counts):.3g})"
        )


@compression_method("structure", _check)
def heads(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Fraction | None,
    images: Count,
    epochs: Natural | None,
    lr_scale: Positive,
) -> nn.Module:
    """Remove the attention heads that matter least to the loss, and fine-tune.

    Args:
        level: fraction of all heads to remove, rounded up; one head stays in every layer.
        images: number of training images for the importance of the heads.
        epochs: number of epochs of fine-tuning; None: half as many as the run has.
        lr_scale: factor on the run's learning rate in fine-tuning.

    Raises:
        UserError: the model has no attention of effdl's own, or too few heads.
    """
    _check(model, level)
    attentions = _attentions(model)
    scores = head_importance(model, trainer.calibration_batches(images))
    removed = least_important(scores, number_to_remove([len(values) for values in scores], level))
    for attention, gone in zip(attentions, removed, strict=True):
        remove_heads(attention, gone)
    return trainer.fit(model, epochs=epochs, lr_scale=lr_scale)


def number_to_remove(counts: list[int], level: float) -> int:
    """The smallest number of heads that is at least the fraction `level` of all of them."""
    return math.ceil(round(level * sum(counts), 9))  # 0.3 x 10 is a little more than 3


def head_importance(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """The importance of every head, (heads,) for each attention: equation 2, with the normalization of section 2.3.

    It is the mean over images of ``|sum of output x gradient of the loss|``, the first-order change of the loss if the
    head's output were zero, divided by the l2 norm of the layer's.
    """
    attentions = _attentions(model)
    outputs: dict[nn.Module, Tensor] = {}
    hooks = [
        attention.projection.register_forward_pre_hook(lambda module, inputs: outputs.update({module: inputs[0]}))
        for attention in attentions
    ]
    sums = [torch.zeros(_count(attention)) for attention in attentions]
    try:
        for images, labels in batches:
            loss = F.cross_entropy(model.eval()(images), labels, reduction="sum")
            found = [outputs[attention.projection] for attention in attentions]
            for i, (output, gradient) in enumerate(zip(found, torch.autograd.grad(loss, found), strict=True)):
                by_head = (output * gradient).unflatten(-1, (-1, attentions[i].head_dim)).sum(dim=(1, 3))
                sums[i] += by_head.abs().sum(dim=0).detach().cpu()
    finally:
        for hook in hooks:
            hook.remove()
    return [values / values.norm().clamp(min=torch.finfo(values.dtype).tiny) for values in sums]


def least_important(scores: list[Tensor], count: int) -> list[list[int]]:
    """The heads of each layer among the `count` of lowest score, where the best one of every layer stays."""
    free = [
        (float(values[head]), layer, head)
        for layer, values in enumerate(scores)
        for head in range(len(values))
        if head != int(values.argmax())
    ]
    chosen = sorted(free)[:count]
    return [sorted(head for _, place, head in chosen if place == layer) for layer in range(len(scores))]


def remove_heads(attention: Attention, gone: list[int]) -> None:
    """Remove heads of an attention: their queries, keys and values, and what reads them; in place."""
    count, size = _count(attention), attention.head_dim
    kept = torch.tensor([head for head in range(count) if head not in gone])
    columns = (kept[:, None] * size + torch.arange(size)).flatten()
    rows = torch.cat([part * count * size + columns for part in range(3)])
    attention.qkv = _selected(attention.qkv, rows, dim=0)
    attention.projection = _selected(attention.projection, columns, dim=1)


def _selected(layer: nn.Linear, index: Tensor, dim: int) -> nn.Linear:
    """A linear layer with some of the outputs (dim 0) or inputs (dim 1) of another."""
    weight, bias = layer.weight.detach(), layer.bias
    index = index.to(weight.device)
    weight = weight.index_select(dim, index)
    new = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None).to(weight)
    with torch.no_grad():
        new.weight.copy_(weight)
        if bias is not None:
            new.bias.copy_(bias[index] if dim == 0 else bias)
    return new


def _attentions(model: nn.Module) -> list[Attention]:
    """The attentions of a model, in its order."""
    return [module for module in model.modules() if isinstance(module, Attention)]


def _count(attention: Attention) -> int:
    """The number of heads."""
    return attention.projection.in_features // attention.head_dim
