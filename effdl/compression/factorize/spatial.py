"""Spatially separable convolutions: a kHx1 convolution followed by a 1xkW convolution."""

from typing import Annotated

from torch import nn

from effdl.compression.factorize import factors
from effdl.compression.factorize.positions import Positions
from effdl.compression.factorize.replace import Rule, check_factorizable, factorized
from effdl.compression.method import compression_method
from effdl.config.types import Count, Fraction, Natural, Positive, ReadIf
from effdl.training.trainer import Trainer


def _factors_of(layer: nn.Module, positions: Positions) -> factors.Factors | None:
    """The factors of a convolution with a window."""
    window = isinstance(layer, nn.Conv2d) and min(layer.kernel_size) > 1
    return factors.spatial(layer, positions) if window else None


def _check(
    model: nn.Module, level: float, by: Rule, rank: int | None, exclude: list[str], input_shape: tuple[int, int, int]
) -> None:
    """Check that there are such convolutions and that so much can be removed.

    Raises:
        UserError: see `replace.check_factorizable`.
    """
    check_factorizable(model, input_shape, _factors_of, level=level, by=by, rank=rank, exclude=exclude)


@compression_method("structure", _check)
def spatial(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Fraction | None,
    by: Annotated[Rule, ReadIf(rank=None)],
    rank: Count | None,
    exclude: list[str],
    epochs: Natural | None,
    lr_scale: Positive,
) -> nn.Module:
    """Replace ungrouped kHxkW convolutions by kHx1 and 1xkW ones, starting from their weights, then fine-tune.

    Jaderberg et al. 2014, "Speeding up convolutional neural networks with low rank expansions", scheme 2. Linear
    layers and convolutions whose kernel has one row or one column are not changed. The arguments and errors are those
    of `lowrank.lowrank`.
    """
    model = factorized(model, trainer.input_shape, _factors_of, level=level, by=by, rank=rank, exclude=exclude)
    return trainer.fit(model, epochs=epochs, lr_scale=lr_scale)
