"""Ternary weights: every weight is minus the scale of its layer, zero, or the scale.

Li & Liu 2016, "Ternary Weight Networks".
"""

from typing import Literal

import torch
from torch import Tensor, nn

from effdl.compression.method import compression_method
from effdl.compression.quantize.binary import check_layers, quantize_weights, train_quantized
from effdl.config.types import Natural, Positive
from effdl.nn.fake_quant import QuantGrid
from effdl.training.trainer import Trainer

_THRESHOLD = 0.7  # as a multiple of the mean magnitude of a layer's weights (section 2.2, equation 6)


@compression_method("values", check_layers)
def ternary(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Literal["ternary"],
    first_last: bool,
    epochs: Natural | None,
    lr_scale: Positive,
) -> nn.Module:
    """Replace the large weights of every layer by one magnitude with their signs, the others by zero, and train on.

    Args:
        level: the only level is "ternary".
        first_last: see `binary.quantize_weights`.
        epochs, lr_scale: see `binary.train_quantized`.

    Raises:
        UserError: the model has no layer to quantize.
    """
    quantize_weights(model, first_last, Ternary)
    return train_quantized(model, trainer, epochs, lr_scale)


class Ternary(nn.Module):
    """Parametrization that gives a weight the value ``scale * code`` with the `ternary_codes`; zeros stay zero.

    The gradient is that of the identity. In training the scale is the mean magnitude of the weights whose code is not
    zero. Outside training the last scale of the training is used, so that the weights always lie on the grid.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", ternary_scale(weight, ternary_codes(weight)).detach())

    def forward(self, weight: Tensor) -> Tensor:
        codes = ternary_codes(weight.detach())
        if self.training:
            self.scale.copy_(ternary_scale(weight.detach(), codes))
        return self.scale * codes + (weight - weight.detach())  # the difference is zero, and has the gradient

    def grid(self) -> QuantGrid:
        """The integer grid of the weights: two bits and one scale."""
        return QuantGrid(self.scale, 2)


def ternary_codes(weight: Tensor) -> Tensor:
    """The sign of each weight above the threshold of its layer, else 0: -1.0, 0.0 or 1.0.

    The threshold is 0.7 times the mean magnitude of the weights that are not zero (masked weights do not count).
    """
    magnitude = weight.abs()
    threshold = _THRESHOLD * magnitude.sum() / torch.count_nonzero(weight).clamp(min=1)
    return torch.where(magnitude > threshold, weight.sign(), 0.0)


def ternary_scale(weight: Tensor, codes: Tensor) -> Tensor:
    """Mean magnitude of the weights whose code is not zero (equation 5): ()."""
    return (weight * codes).sum() / torch.count_nonzero(codes).clamp(min=1)
