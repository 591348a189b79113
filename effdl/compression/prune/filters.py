"""Filter pruning of a trained model: the result is a smaller dense network, which is faster on any hardware.

The dependencies between filters and their scores are those of torch-pruning: Fang, Ma, Song, Mi & Wang 2023, "DepGraph:
Towards Any Structural Pruning". Scores are means over the layers of a group, divided by the mean of the group.
"""

from typing import Annotated, Literal

import torch.nn.functional as F
from torch import nn

from effdl.compression.method import compression_method
from effdl.compression.prune.costs import Target
from effdl.compression.prune.dependency import library
from effdl.compression.prune.structured_pruner import Scope, Score, StructuredPruner, check_removal, part_left
from effdl.config.types import Count, Fraction, Natural, Positive, ReadIf, SpeedUp
from effdl.training.trainer import Trainer

_Criterion = Literal["l1", "l2", "bn", "taylor"]


def _check(
    model: nn.Module,
    level: float,
    target: Target,
    criterion: _Criterion,
    scope: Scope,
    round_to: int,
    exclude: list[str],
    amounts: str | None,
    input_shape: tuple[int, int, int],
) -> None:
    """Check that so much can be removed; the gradients of ``taylor`` decide nothing about that.

    Raises:
        UserError: see `filters`.
    """
    check_removal(model, exclude, amounts)
    pruner = StructuredPruner(input_shape, target if level < 1 else "macs", scope, round_to, exclude, amounts)
    pruner.try_out(model, level, _importance("l2" if criterion == "taylor" else criterion))


@compression_method("structure", _check)
def filters(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Fraction | SpeedUp | None,
    target: Annotated[Target, ReadIf(level=Fraction)],
    criterion: _Criterion,
    images: Annotated[Count, ReadIf(criterion=Literal["taylor"])],
    scope: Annotated[Scope, ReadIf(amounts=None)],
    round_to: Count,
    exclude: list[str],
    amounts: str | None,
    rounds: Count,
    epochs: Natural | None,
    lr_scale: Positive,
) -> nn.Module:
    """Remove the filters of lowest score, and fine-tune.

    Args:
        level: below 1: the fraction of `target` to remove; above 1: the factor by which the MACs are divided. At least
            as much is removed, by as few filters as possible.
        target: ``macs``, ``params``, or ``filters`` (those that can be removed).
        criterion: ``l1`` and ``l2``: sums of absolute and squared weights (Li et al. 2017, "Pruning Filters for
            Efficient ConvNets", section 3.1); ``bn``: batch-norm scales; ``taylor``: ``|weight x gradient|`` over
            `images` training images (Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning").
        images: number of training images for the criterion ``taylor``.
        scope, round_to, exclude, amounts: see `StructuredPruner`. The outputs of the model are never removed, nor all
            filters of a layer.
        rounds: number of rounds of removal and fine-tuning; each removes the same fraction of what is left.
        epochs: number of epochs of fine-tuning in each round; None: half as many as the run has.
        lr_scale: factor on the run's learning rate in fine-tuning.

    Raises:
        UserError: torch-pruning is not installed, a pattern matches no layer, or the level cannot be reached.
    """
    pruner = StructuredPruner(trainer.input_shape, target if level < 1 else "macs", scope, round_to, exclude, amounts)
    before, share = pruner.cost(model), part_left(level)
    for done in range(1, rounds + 1):
        model = pruner.down_to(model, before * share ** (done / rounds), _score(criterion, model, trainer, images))
        model = trainer.fit(model, epochs=epochs, lr_scale=lr_scale)
    return model


def _score(criterion: _Criterion, model: nn.Module, trainer: Trainer, images: int) -> Score:
    """The importance of torch-pruning for a criterion; ``taylor`` also computes the gradients of the model."""
    if criterion == "taylor":
        model.zero_grad()
        for batch, labels in trainer.calibration_batches(images):
            F.cross_entropy(model(batch), labels, reduction="sum").backward()
    return _importance(criterion)


def _importance(criterion: _Criterion) -> Score:
    """The importance of torch-pruning for a criterion."""
    importance = library().importance
    if criterion == "taylor":
        return importance.GroupTaylorImportance()
    if criterion == "bn":
        return importance.BNScaleImportance()
    return importance.GroupMagnitudeImportance(p={"l1": 1, "l2": 2}[criterion])
