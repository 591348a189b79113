"""Unstructured pruning: any criterion, schedule and retraining."""

import math
from typing import Annotated, Literal

from torch import nn

from effdl.compression.method import compression_method
from effdl.compression.prune.amounts import layer_amounts
from effdl.compression.prune.masker import Criterion, Masker, check_level, sparsity
from effdl.compression.prune.retrain import How, LRScale, Retraining, RewindEpoch
from effdl.compression.prune.sparsity_schedules import cubic, geometric
from effdl.config.types import Count, Fraction, Natural, ReadIf
from effdl.nn.layers import weights
from effdl.nn.mask import mask_of
from effdl.training.trainer import Trainer
from effdl.utils.errors import UserError

_RAMP = 0.75  # the part of a gradual training in which sparsity grows; in the rest masks are constant


def _check_amounts(
    model: nn.Module, level: float, exclude: list[str], amounts: str | None, pruned: bool = False
) -> list[float]:
    """Check that a level can be reached with these patterns and amounts; return the amount of each layer.

    Args:
        pruned: whether an earlier step makes weights zero, so that the untrained model does not say what is reached.

    Raises:
        UserError: a pattern matches no layer, the file does not have amounts of layers, or the level cannot be reached.
    """
    shares = layer_amounts([name for name, _, _ in weights(model)], exclude, amounts)
    if not any(shares):
        raise UserError(f"exclude={exclude}, amounts={amounts}: no layer is left to prune")
    if not pruned:
        check_level(model, level, shares)
    return shares


@compression_method("mask", _check_amounts)
def prune(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Fraction | None,
    criterion: Criterion,
    passes: Count,
    scope: Annotated[Literal["global", "layer"], ReadIf(amounts=None)],
    exclude: list[str],
    amounts: str | None,
    schedule: Literal["one_shot", "iterative", "gradual", "soft"],
    rounds: Annotated[Count, ReadIf(schedule=Literal["iterative", "gradual"])],
    retrain: How,
    rewind_epoch: RewindEpoch,
    epochs: Natural | None,
    lr_scale: LRScale,
) -> nn.Module:
    """Set the fraction `level` of all weights, those of lowest score, to zero, and retrain.

    Args:
        level: the fraction of the weights of all layers, excluded ones included, that is zero in the end.
        criterion: scores the weights; those of lowest score are pruned.
        passes: number of steps, without training in between, in which a sparsity is reached; the criterion is evaluated
            in each.
        scope: ``global``: one ranking for all layers; ``layer``: the same fraction of each layer.
        exclude: patterns of the names of layers that are not pruned.
        amounts: path of a JSON file ``{layer name: fraction}``, as ``effdl sensitivity`` writes it: how much of each
            layer to prune relative to the others (see `topk_mask.allocate`). The overall sparsity is still `level`, and
            the scope is ``layer``.
        schedule: ``one_shot``: prune once; ``iterative``: `rounds` of pruning and retraining; ``gradual``: `rounds`
            steps within one training; ``soft``: after every epoch of one training, in which pruned weights are trained
            on until its end.
        rounds: number of rounds or steps of the schedule.
        retrain, rewind_epoch, epochs, lr_scale: see `Retraining`.

    Raises:
        UserError: a pattern matches no layer, the file does not have amounts of layers, or the level cannot be reached.
    """
    shares = _check_amounts(model, level, exclude, amounts)
    masker = Masker(trainer, criterion, passes, scope if amounts is None else "layer", shares)
    train = Retraining(trainer, retrain, rewind_epoch, epochs, lr_scale)
    if schedule == "gradual":
        return _gradual(model, masker, train, level, rounds)
    if schedule == "soft":
        return _soft(model, masker, train, level)
    return _iterative(model, masker, train, level, rounds if schedule == "iterative" else 1)


def _iterative(model: nn.Module, masker: Masker, train: Retraining, level: float, rounds: int) -> nn.Module:
    """Alternate pruning, each time the same fraction of what is left, and training (Han et al. 2015, section 3.4)."""
    for target in geometric(sparsity(model), level, rounds):
        model = train(masker.hold(model, target))
    return model


def _gradual(model: nn.Module, masker: Masker, train: Retraining, level: float, rounds: int) -> nn.Module:
    """Prune in `rounds` steps within one training (Zhu & Gupta 2017, "To prune, or not to prune")."""
    before, done = sparsity(model), 0
    for (_, module, name), amount in zip(list(weights(model)), masker.amounts, strict=True):
        if amount:
            mask_of(module, name)  # added before the training, so that checkpoints of it have the masks

    def after_update(model: nn.Module, progress: float) -> None:
        nonlocal done
        due = min(math.floor(progress / _RAMP * rounds), rounds)
        if due > done:  # repeated after a resume; a model that has the sparsity does not change
            done = due
            masker.hold(model, cubic(before, level, due / rounds))

    return masker.hold(train(model, after_update), level)  # in case the training stopped early


def _soft(model: nn.Module, masker: Masker, train: Retraining, level: float) -> nn.Module:
    """Set the weights of lowest score to zero after every epoch but train them on; mask them after the training.

    This is the idea of He et al. 2018, "Soft Filter Pruning for Accelerating Deep Convolutional Neural Networks",
    algorithm 1, for single weights. No training follows the masking, so the criterion must choose nearly the same
    weights every time by then, as magnitude does and random does not.
    """

    def after_update(model: nn.Module, progress: float) -> None:
        epoch = progress * train.length
        if abs(epoch - round(epoch)) < 1e-6:
            masker.erase(model, level)

    return masker.hold(train(model, after_update), level)
