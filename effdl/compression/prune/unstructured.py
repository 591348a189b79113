"""Pruning of single weights: any criterion, on any schedule, with any retraining."""

import math
from typing import Literal

from torch import nn

from effdl.compression.method import compression_method
from effdl.compression.prune.amounts import layer_amounts
from effdl.compression.prune.masker import Criterion, Masker, sparsity
from effdl.compression.prune.retrain import How, Retraining
from effdl.compression.prune.sparsity_schedules import cubic, geometric
from effdl.config.types import Count, Fraction, Natural, Positive
from effdl.nn.layers import weights
from effdl.nn.mask import mask_of
from effdl.training.trainer import Trainer

RAMP = 0.75  # part of a gradual training over which sparsity grows; it ends with constant masks


def check_amounts(model: nn.Module, exclude: list[str], amounts: str | None) -> list[float]:
    """Make sure that the patterns and the file fit a model; returns the amount of each layer.

    Raises:
        UserError: a pattern without a layer, or a file that is no such file.
    """
    return layer_amounts([name for name, _, _ in weights(model)], exclude, amounts)


@compression_method("mask", check_amounts)
def prune(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Fraction | None,
    criterion: Criterion,
    passes: Count,
    scope: Literal["global", "layer"],
    exclude: list[str],
    amounts: str | None,
    schedule: Literal["one_shot", "iterative", "gradual", "soft"],
    rounds: Count,
    retrain: How,
    rewind_epoch: Natural,
    epochs: Natural | None,
    lr_scale: Positive,
) -> nn.Module:
    """Zero the fraction `level` of all conv and linear weights, those of lowest score, and retrain.

    Args:
        level: fraction of weights that are zero in the end, over all layers together, excluded ones included.
        criterion: scores the weights; the lowest go.
        passes: number of times the criterion is asked on the way to a level, without training in between.
        scope: one ranking for all layers, or the same fraction of each.
        exclude: patterns of names of layers that are left alone.
        amounts: JSON file ``{layer name: fraction}``, such as ``effdl sensitivity`` writes: how much of each layer to
            prune, compared with the others (see `keep.allocate`); `level` is still what is reached. Scope is by layer.
        schedule: ``one_shot``; ``iterative``: `rounds` of pruning and retraining; ``gradual``: inside one training, in
            `rounds` steps; ``soft``: inside one training, pruned weights may come back until its end.
        retrain, rewind_epoch, epochs, lr_scale: see `Retraining`.

    Raises:
        UserError: a pattern without a layer, a file that is no such file, a level that cannot be reached.
    """
    shares = check_amounts(model, exclude, amounts)
    masker = Masker(trainer, criterion, passes, scope if amounts is None else "layer", shares)
    masker.check_level(model, level)
    train = Retraining(trainer, retrain, rewind_epoch, epochs, lr_scale)
    if schedule == "gradual":
        return gradual(model, masker, train, level, rounds)
    if schedule == "soft":
        return soft(model, masker, train, level)
    return iterative(model, masker, train, level, rounds if schedule == "iterative" else 1)


def iterative(model: nn.Module, masker: Masker, train: Retraining, level: float, rounds: int) -> nn.Module:
    """Prune and retrain in turn, each time the same fraction of what is left (Han et al. 2015, section 3.4)."""
    for target in geometric(sparsity(model), level, rounds):
        model = train(masker.hold(model, target))
    return model


def gradual(model: nn.Module, masker: Masker, train: Retraining, level: float, rounds: int) -> nn.Module:
    """Prune in `rounds` steps while training goes on (Zhu & Gupta 2017, "To prune, or not to prune")."""
    before, done = sparsity(model), 0
    for (_, module, name), amount in zip(list(weights(model)), masker.amounts, strict=True):
        if amount:
            mask_of(module, name)  # they must be there before the training, to be restored with it

    def after_update(model: nn.Module, progress: float) -> None:
        nonlocal done
        due = min(math.floor(progress / RAMP * rounds), rounds)
        if due > done:  # after a resume, once more: a model that has the sparsity stays as it is
            done = due
            masker.hold(model, cubic(before, level, due / rounds))

    return masker.hold(train(model, after_update), level)  # for a training that was stopped early


def soft(model: nn.Module, masker: Masker, train: Retraining, level: float) -> nn.Module:
    """Set the lowest weights to zero after every epoch but train them on; the last cut is for good.

    The idea of He et al. 2018, "Soft Filter Pruning for Accelerating Deep Convolutional Neural Networks", algorithm 1,
    for single weights. No training follows the last masker, so the criterion must by then choose much the same weights
    every time, as magnitude does and random does not.
    """

    def after_update(model: nn.Module, progress: float) -> None:
        epoch = progress * train.length
        if abs(epoch - round(epoch)) < 1e-6:
            masker.erase(model, level)

    return masker.hold(train(model, after_update), level)
