"""Binary weights with one scale for each output.

Rastegari et al. 2016, "XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks", section 3.1
(binary-weight networks). The XNOR networks of section 3.2, whose inputs are signs too, are not built: they need another
order of layers than that of trained networks, where a convolution follows a ReLU and all signs would be the same.
"""

from typing import Literal

from torch import Tensor, nn

from effdl.compression.method import compression_method
from effdl.compression.quantize.binary import check_layers, signs, train_quantized
from effdl.config.types import Natural, Positive
from effdl.nn.fake_quant import QuantGrid
from effdl.training.trainer import Trainer


@compression_method("values", check_layers)
def xnor(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Literal["binary"],
    first_last: bool,
    epochs: Natural | None,
    lr_scale: Positive,
) -> nn.Module:
    """Replace the weights of every output by their signs times their mean magnitude, and train on.

    Args:
        level: the only level is "binary".
        first_last, epochs, lr_scale: see `binary.train_quantized`.

    Raises:
        UserError: the model has no layer to binarize.
    """
    return train_quantized(model, trainer, first_last, ScaledBinary, epochs, lr_scale)


class ScaledBinary(nn.Module):
    """Parametrization that gives a weight w of each output the value ``scale * sign(w)``; zeros stay zero.

    In training the scale is the mean magnitude of the output's weights and the gradient that of section 3.1: through
    the scale, and through the sign where |w| <= 1. Outside training the last scale of the training is used, so that the
    weights always lie on the grid.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", mean_magnitude(weight).detach())

    def forward(self, weight: Tensor) -> Tensor:
        scale = self.scale
        if self.training:
            scale = mean_magnitude(weight)
            self.scale.copy_(scale.detach())
        through = weight.clamp(-1, 1)
        return scale * (signs(weight, weight > 0) + (through - through.detach()))

    def grid(self) -> QuantGrid:
        """The integer grid of the weights: one bit, and a scale for each output."""
        return QuantGrid(self.scale, 1)


def mean_magnitude(weight: Tensor) -> Tensor:
    """Mean of ``|w|`` over the non-zero weights of each output (equation 6): (outputs, 1, ...) of (outputs, ...)."""
    dims = tuple(range(1, weight.ndim))
    count = (weight != 0).sum(dims, keepdim=True).clamp(min=1)
    return weight.abs().sum(dims, keepdim=True) / count
