"""Removing whole filters of a trained model: the network that is left is small and dense, and faster everywhere.

What goes with a filter, and by how much it matters, is torch-pruning's: Fang, Ma, Song, Mi & Wang 2023, "DepGraph:
Towards Any Structural Pruning". Its scores are means over the layers of a group, divided by the mean of the group.
"""

from typing import Literal

import torch.nn.functional as F
from torch import nn

from effdl.compression.method import compression_method
from effdl.compression.prune.costs import Target
from effdl.compression.prune.dependency import library
from effdl.compression.prune.structured_pruner import Scope, Score, StructuredPruner, check_removal
from effdl.config.types import Count, Fraction, Natural, Positive, SpeedUp
from effdl.training.trainer import Trainer

Criterion = Literal["l1", "l2", "bn", "taylor"]


@compression_method("structure", check_removal)
def filters(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Fraction | SpeedUp | None,
    target: Target,
    criterion: Criterion,
    images: Count,
    scope: Scope,
    round_to: Count,
    exclude: list[str],
    amounts: str | None,
    rounds: Count,
    epochs: Natural | None,
    lr_scale: Positive,
) -> nn.Module:
    """Remove the filters that matter least, and fine-tune.

    Args:
        level: below 1: the fraction of `target` that goes; above 1: the number by which the MACs are divided. The model
            comes as close to it as whole filters allow, on the small side.
        target: ``macs``, ``params``, or ``filters`` (of the layers that may lose some).
        criterion: ``l1`` and ``l2``: sums of absolute and squared weights (Li et al. 2017, "Pruning Filters for
            Efficient ConvNets", section 3.1); ``bn``: batch-norm scales; ``taylor``: ``|weight x gradient|`` over
            `images` training images (Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning").
        scope, round_to, exclude, amounts: see `StructuredPruner`. The outputs of the model always stay, and some
            filters of each layer.
        rounds: of removing and fine-tuning, each time the same fraction of what is left.
        epochs: of fine-tuning in each round, at `lr_scale` times the run's learning rate; None: half of the run's.

    Raises:
        UserError: torch-pruning is missing, a pattern fits no layer, or the level cannot be reached.
    """
    pruner = StructuredPruner(trainer.input_shape, target if level < 1 else "macs", scope, round_to, exclude, amounts)
    before, share = pruner.cost(model), 1 - level if level < 1 else 1 / level
    for done in range(1, rounds + 1):
        model = pruner.down_to(model, before * share ** (done / rounds), score(criterion, model, trainer, images))
        model = trainer.fit(model, epochs=epochs, lr_scale=lr_scale)
    return model


def score(criterion: Criterion, model: nn.Module, trainer: Trainer, images: int) -> Score:
    """Torch-pruning's importance of the name; for ``taylor`` the model is given its gradients."""
    importance = library().importance
    if criterion == "taylor":
        model.zero_grad()
        for batch, labels in trainer.calibration_batches(images):
            F.cross_entropy(model(batch), labels, reduction="sum").backward()
        return importance.GroupTaylorImportance()
    if criterion == "bn":
        return importance.BNScaleImportance()
    return importance.GroupMagnitudeImportance(p={"l1": 1, "l2": 2}[criterion])
