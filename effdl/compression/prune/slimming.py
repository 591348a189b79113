"""Network slimming: training makes the batch-norm scales of superfluous filters small; these are then removed.

Liu, Li, Shen, Huang, Yan & Zhang 2017, "Learning Efficient Convolutional Networks through Network Slimming".
"""

from typing import Annotated

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from effdl.compression.method import compression_method
from effdl.compression.prune.costs import Target
from effdl.compression.prune.dependency import library
from effdl.compression.prune.structured_pruner import Score, StructuredPruner, check_removal, part_left
from effdl.config.types import Count, Fraction, Natural, Positive, ReadIf, SpeedUp
from effdl.training.trainer import Trainer
from effdl.utils.errors import UserError


def _check(
    model: nn.Module,
    level: float,
    target: Target,
    round_to: int,
    exclude: list[str],
    input_shape: tuple[int, int, int],
) -> None:
    """Check that the model has batch norms and that so much can be removed.

    Raises:
        UserError: see `slimming`.
    """
    check_removal(model, exclude)
    if not _scales(model):
        raise UserError("slimming needs a model with batch norm; this one has none (compression=[filters] needs none)")
    pruner = StructuredPruner(input_shape, target if level < 1 else "macs", "global", round_to, exclude)
    pruner.try_out(model, level, _importance())


@compression_method("structure", _check)
def slimming(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Fraction | SpeedUp | None,
    target: Annotated[Target, ReadIf(level=Fraction)],
    strength: Positive,
    sparse_epochs: Natural | None,
    sparse_lr_scale: Positive,
    round_to: Count,
    exclude: list[str],
    epochs: Natural | None,
    lr_scale: Positive,
) -> nn.Module:
    """Train with an L1 penalty on the batch-norm scales, remove the filters of smallest scale, and fine-tune.

    Scales are compared over the whole network (section 3.3); the score of filters with several batch norms is the mean.

    Args:
        level, target: as for `filters`; the paper uses a fraction and ``target=filters``.
        strength: factor on the penalty, the sum of all absolute scales; lambda in equation 1.
        sparse_epochs: number of epochs of the training with the penalty; None: half as many as the run has.
        sparse_lr_scale: factor on the run's learning rate in that training.
        round_to, exclude: see `StructuredPruner`.
        epochs: number of epochs of fine-tuning; None: half as many as the run has.
        lr_scale: factor on the run's learning rate in fine-tuning.

    Raises:
        UserError: the model has no batch norm, torch-pruning is not installed, a pattern matches no layer, or the level
            cannot be reached.
    """
    if not _scales(model):
        raise UserError("slimming needs a model with batch norm; this one has none (compression=[filters] needs none)")
    pruner = StructuredPruner(trainer.input_shape, target if level < 1 else "macs", "global", round_to, exclude)
    budget = pruner.cost(model) * part_left(level)
    model = trainer.fit(
        model,
        epochs=sparse_epochs,
        lr_scale=sparse_lr_scale,
        penalty=lambda model: strength * sum(scale.abs().sum() for scale in _scales(model)),
    )
    model = pruner.down_to(model, budget, _importance())
    return trainer.fit(model, epochs=epochs, lr_scale=lr_scale)


def _importance() -> Score:
    """The importance of torch-pruning: the scales themselves."""
    return library().importance.BNScaleImportance(normalizer=None)


def _scales(model: nn.Module) -> list[Tensor]:
    """The scales of all batch norms (gamma in the paper)."""
    return [module.weight for module in model.modules() if isinstance(module, _BatchNorm) and module.affine]
