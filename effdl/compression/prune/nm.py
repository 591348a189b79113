"""N:M sparsity: N of every M consecutive input weights are kept, a pattern that sparse matrix units can use.

Mishra et al. 2021, "Accelerating Sparse Deep Neural Networks", sections 3 and 4 (2:4; `retrain=rewind_lr` with
`rewind_epoch=0` is their recipe); Zhou et al. 2021, "Learning N:M Fine-grained Structured Sparse Neural Networks from
Scratch", section 3 (any N:M).
"""

import torch
from torch import nn

from effdl.compression.method import compression_method
from effdl.compression.prune.masker import Criterion
from effdl.compression.prune.retrain import How, LRScale, Retraining, RewindEpoch
from effdl.compression.prune.topk_mask import topk_mask_in_groups
from effdl.config.types import Natural, Pattern
from effdl.nn.layers import TRANSPOSED, excluded, weights
from effdl.nn.mask import mask_of
from effdl.training.trainer import Trainer
from effdl.utils.errors import UserError


def _check_pattern(model: nn.Module, level: str, exclude: list[str], skip_first: bool) -> set[str]:
    """Check that a pattern can be applied to a model; return the names of the layers that are not pruned.

    Raises:
        UserError: there is no such pattern, no layer is left, or M does not divide the number of inputs of a layer.
    """
    _, size = parse(level)
    layers = list(weights(model))
    names = [name for name, _, _ in layers]
    alone = excluded(names, exclude) | set(names[:1] if skip_first else [])
    if alone >= set(names):
        raise UserError(f"exclude={exclude}, skip_first={str(skip_first).lower()}: no layer is left to prune")
    _check_inputs(layers, alone, level, size)
    return alone


@compression_method("mask", _check_pattern)
def nm(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Pattern | None,
    criterion: Criterion,
    exclude: list[str],
    skip_first: bool,
    retrain: How,
    rewind_epoch: RewindEpoch,
    epochs: Natural | None,
    lr_scale: LRScale,
) -> nn.Module:
    """Keep the N highest-scoring of every M weights that follow one another along a layer's inputs, and retrain.

    In a convolution these are the weights of M input channels at one position of the kernel.

    Args:
        level: the pattern ``N:M``, such as ``2:4``.
        criterion: scores the weights; those of lowest score are pruned.
        exclude: patterns of the names of layers that are not pruned.
        skip_first: whether the first layer, whose inputs are the image's channels, is not pruned.
        retrain, rewind_epoch, epochs, lr_scale: see `Retraining`.

    Raises:
        UserError: there is no such pattern, or M does not divide the number of inputs of a layer.
    """
    kept, size = parse(level)
    alone = _check_pattern(model, level, exclude, skip_first)
    train = Retraining(trainer, retrain, rewind_epoch, epochs, lr_scale)
    for (name, module, attribute), scores in zip(list(weights(model)), criterion(model, trainer), strict=True):
        if name not in alone:
            scores = scores.where(getattr(module, attribute) != 0, -torch.inf)  # zeros stay zero and count as pruned
            keep = topk_mask_in_groups(scores, kept, size, _inputs_of(module, attribute)[0])
            mask_of(module, attribute).keep.logical_and_(keep)
    return train(model)


def parse(pattern: str) -> tuple[int, int]:
    """N and M of a pattern ``N:M``; UserError unless 0 < N < M."""
    kept, size = (int(number) for number in pattern.split(":"))
    if not 0 < kept < size:
        raise UserError(f"prune={pattern}: of N:M, N must be from 1 to M - 1")
    return kept, size


def _inputs_of(module: nn.Module, attribute: str) -> tuple[int, int]:
    """The dimension of a weight along which the inputs of one output lie, and their number."""
    weight = getattr(module, attribute)  # that of a transposed convolution has the inputs first
    return (0, weight.shape[0] // module.groups) if isinstance(module, TRANSPOSED) else (1, weight.shape[1])


def _check_inputs(layers: list[tuple[str, nn.Module, str]], alone: set[str], level: str, size: int) -> None:
    """Check that M divides the number of inputs of every layer that is pruned; UserError if not."""
    inputs = {name: _inputs_of(module, attribute)[1] for name, module, attribute in layers if name not in alone}
    if odd := {name: number for name, number in inputs.items() if number % size}:
        raise UserError(
            f"prune={level}: {size} does not divide the inputs of {', '.join(f'{n} ({k})' for n, k in odd.items())}; "
            f"leave these layers out with compression.nm.exclude=[{','.join(odd)}]"
        )
