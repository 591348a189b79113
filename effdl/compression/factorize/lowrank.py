"""Low-rank factorization: linear layers and 1x1 convolutions by SVD, larger convolutions by Tucker-2 or SVD."""

from typing import Annotated, Literal

from torch import nn

from effdl.compression.factorize.factors import Factors, svd, tucker
from effdl.compression.factorize.positions import Positions
from effdl.compression.factorize.replace import FactorsOf, Rule, check_factorizable, factorized
from effdl.compression.method import compression_method
from effdl.config.types import Count, Fraction, Natural, Positive, ReadIf
from effdl.training.trainer import Trainer

_Method = Literal["svd", "tucker"]


def _factors_of(method: _Method) -> FactorsOf:
    """How a layer is factorized."""

    def factors_of(layer: nn.Module, positions: Positions) -> Factors:
        window = isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1)
        return tucker(layer, positions) if window and method == "tucker" else svd(layer, positions)

    return factors_of


def _check(
    model: nn.Module,
    level: float,
    method: _Method,
    by: Rule,
    rank: int | None,
    exclude: list[str],
    input_shape: tuple[int, int, int],
) -> None:
    """Check that so much can be removed.

    Raises:
        UserError: see `replace.check_factorizable`.
    """
    check_factorizable(model, input_shape, _factors_of(method), level=level, by=by, rank=rank, exclude=exclude)


@compression_method("structure", _check)
def lowrank(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Fraction | None,
    method: _Method,
    by: Annotated[Rule, ReadIf(rank=None)],
    rank: Count | None,
    exclude: list[str],
    epochs: Natural | None,
    lr_scale: Positive,
) -> nn.Module:
    """Factorize linear layers and ungrouped convolutions, starting from their weights, then fine-tune.

    Denton et al. 2014, "Exploiting linear structure within convolutional networks for efficient evaluation"; Kim et
    al. 2016, "Compression of deep convolutional neural networks for fast and low power mobile applications".

    Args:
        level: the fraction to remove of the quantity that `by` names (see `replace.factorized`).
        method: how a convolution larger than 1x1 is factorized. "tucker" replaces it by a 1x1 convolution, one of the
            same kernel size and another 1x1; "svd" by one of the same kernel size and a 1x1.
        rank: the rank of every layer; if it is given, `level` and `by` are not used.
        exclude: patterns of the names of layers that are not factorized.
        epochs: number of epochs of fine-tuning; None: half as many as the run has.
        lr_scale: factor on the run's learning rate in fine-tuning.

    Raises:
        UserError: a pattern matches no layer, or so many MACs or parameters cannot be removed.
    """
    model = factorized(model, trainer.input_shape, _factors_of(method), level=level, by=by, rank=rank, exclude=exclude)
    return trainer.fit(model, epochs=epochs, lr_scale=lr_scale)
