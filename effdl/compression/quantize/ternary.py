"""Weights of three values: minus the scale of their layer, zero, and the scale.

Li & Liu 2016, "Ternary Weight Networks".
"""

from typing import Literal

import torch
from torch import Tensor, nn

from effdl.compression.method import compression_method
from effdl.compression.quantize.binary import check_layers, train_quantized
from effdl.config.types import Natural, Positive
from effdl.nn.fake_quant import QuantGrid
from effdl.training.trainer import Trainer

THRESHOLD = 0.7  # times the mean magnitude of a layer's weights (section 2.2, equation 6)


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
    """Give the large weights of every layer one magnitude and set the others to zero, and train on.

    Args:
        level: there is only one.
        first_last: the first and the last layer too.
        epochs: of training; None: half of the run's.
        lr_scale: times the run's learning rate.

    Raises:
        UserError: no layer to act on.
    """
    return train_quantized(model, trainer, first_last, Ternary, epochs, lr_scale)


class Ternary(nn.Module):
    """Parametrization that gives a weight the value ``scale * code`` with the `ternary_codes`; zeros stay zero.

    The gradient is that of the identity. In training the scale is the mean magnitude of the weights whose code is not
    zero; outside training the last such scale is used, so that weights and grid agree whatever is done to them.
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
        """Two bits and a scale for the layer."""
        return QuantGrid(self.scale, 2)


def ternary_codes(weight: Tensor) -> Tensor:
    """The sign of each weight above the threshold of its layer, else 0: -1.0, 0.0 or 1.0.

    The threshold is 0.7 times the mean magnitude of the weights that are not zero, as those are that a mask leaves.
    """
    magnitude = weight.abs()
    threshold = THRESHOLD * magnitude.sum() / torch.count_nonzero(weight).clamp(min=1)
    return torch.where(magnitude > threshold, weight.sign(), 0.0)


def ternary_scale(weight: Tensor, codes: Tensor) -> Tensor:
    """Mean magnitude of the weights whose code is not zero (equation 5): ()."""
    return (weight * codes).sum() / torch.count_nonzero(codes).clamp(min=1)
