"""Low-rank factors in place of layers: linear layers and 1x1 convolutions by SVD, larger ones by Tucker-2 or SVD."""

from typing import Literal

from torch import nn

from effdl.compression.factorize.factors import Factors, svd, tucker
from effdl.compression.factorize.replace import Rule, factorized
from effdl.compression.method import compression_method
from effdl.config.types import Count, Fraction, Natural, Positive
from effdl.nn.layers import check_exclude
from effdl.nn.weight_uses import Positions
from effdl.training.trainer import Trainer


@compression_method("structure", check_exclude)
def lowrank(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Fraction | None,
    method: Literal["svd", "tucker"],
    by: Rule,
    rank: Count | None,
    exclude: list[str],
    epochs: Natural | None,
    lr_scale: Positive,
) -> nn.Module:
    """Factorize linear layers and ungrouped convolutions, starting from their weights, then fine-tune.

    Denton et al. 2014, "Exploiting linear structure within convolutional networks for efficient evaluation"; Kim et
    al. 2016, "Compression of deep convolutional neural networks for fast and low power mobile applications".

    Args:
        level: how much goes; of what, says `by` (see `replace.factorized`).
        method: for convolutions with a window: "tucker" makes a 1x1, one of the same window, and a 1x1; "svd" one of
            the same window, and a 1x1.
        rank: of all layers, instead of what `level` and `by` say.
        exclude: patterns of names of layers that are left alone.
        epochs: of fine-tuning, at `lr_scale` times the run's learning rate; None: half of the run's.

    Raises:
        UserError: a pattern fits no layer, or as many MACs or parameters cannot go.
    """

    def factors_of(layer: nn.Module, positions: Positions) -> Factors:
        window = isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1)
        return tucker(layer, positions) if window and method == "tucker" else svd(layer, positions)

    model = factorized(model, trainer.input_shape, factors_of, level=level, by=by, rank=rank, exclude=exclude)
    return trainer.fit(model, epochs=epochs, lr_scale=lr_scale)
