"""Spatially separable convolutions: a kHx1 convolution followed by a 1xkW convolution."""

from torch import nn

from effdl.compression.factorize import factors
from effdl.compression.factorize.replace import Rule, factorized
from effdl.compression.method import compression_method
from effdl.config.types import Count, Fraction, Natural, Positive
from effdl.nn.layers import check_exclude
from effdl.nn.weight_uses import Positions
from effdl.training.trainer import Trainer


@compression_method("structure", check_exclude)
def spatial(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Fraction | None,
    by: Rule,
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

    def factors_of(layer: nn.Module, positions: Positions) -> factors.Factors | None:
        window = isinstance(layer, nn.Conv2d) and min(layer.kernel_size) > 1
        return factors.spatial(layer, positions) if window else None

    model = factorized(model, trainer.input_shape, factors_of, level=level, by=by, rank=rank, exclude=exclude)
    return trainer.fit(model, epochs=epochs, lr_scale=lr_scale)
