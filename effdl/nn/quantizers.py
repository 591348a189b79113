"""Quantizers as parts of a model: modules for activations, parametrizations for weights.

As parts of the model they are trained, stored, rebuilt, counted and exported together with it.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from effdl.nn.fake_quant import QuantGrid, bounds, fake_quantize, sign_through
from effdl.utils.distributed import world_size

_SMALLEST = torch.finfo(torch.float32).tiny


class ActivationQuantizer(nn.Module):
    """Rounds its input (of any shape) to integers of `bits` bits times `scale`, one scale for the whole tensor.

    `scale` (a parameter, so that training can learn it) and `zero_point` (a buffer, an integer kept as a float) are
    scalars that a quantization method sets.
    """

    def __init__(self, bits: int, signed: bool) -> None:
        super().__init__()
        self.bits, self.signed = bits, signed
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("zero_point", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return fake_quantize(x, self.scale, self.zero_point, *bounds(self.bits, self.signed), parts=world_size())


class ActivationSign(nn.Module):
    """Replaces its input (of any shape) by its signs: 1 for zero, too. The gradient is that of `sign_through`."""

    bits = 1

    def forward(self, x: Tensor) -> Tensor:
        return sign_through(x)


def activation_quantizers(model: nn.Module) -> Iterator[ActivationQuantizer | ActivationSign]:
    """All modules of a model that quantize activations, in the order of ``modules()``; they have ``bits``."""
    return (module for module in model.modules() if isinstance(module, ActivationQuantizer | ActivationSign))


class WeightQuantizer(nn.Module):
    """Parametrization that rounds a weight to signed codes of `bits` bits times a scale; zero stays zero.

    Codes go from -2^(bits-1) to 2^(bits-1) - 1; from 7 bits on, which are for integer kernels, symmetrically from
    -2^(bits-1) + 1, so that a weight times -1 has a code, too.

    Args:
        scale: initial; () for the whole tensor or broadcastable to it, (outputs, 1, 1, 1) per channel. Positive.
        learn: whether training changes the scale, as a learned step size (Esser et al. 2020).
    """

    def __init__(self, bits: int, scale: Tensor, learn: bool):
        super().__init__()
        low, high = bounds(bits, signed=True)
        self.bits, self.low, self.high, self.shape = bits, low if bits < 7 else -high, high, scale.shape
        # Without the dimensions of length 1: optimizers decay tensors of two or more, as weights, but no vectors.
        step_size = scale.detach().clone()
        self.step_size = nn.Parameter(step_size.flatten() if scale.ndim else step_size, requires_grad=learn)

    @property
    def scale(self) -> Tensor:
        """The scale in the shape that broadcasts to the weight."""
        return self.step_size.view(self.shape)

    def forward(self, weight: Tensor) -> Tensor:
        return fake_quantize(weight, self.scale, 0, self.low, self.high)

    def grid(self) -> QuantGrid:
        """The integer grid on which the quantized weights lie."""
        return QuantGrid(self.scale.detach(), self.bits)


def symmetric_scale(weight: Tensor, bits: int, per_channel: bool) -> Tensor:
    """The scale by which the largest absolute value gets the largest code; 1 where all values are (nearly) zero.

    Args:
        weight: (outputs, ...).

    Returns:
        (outputs, 1, ...) if `per_channel`, else ().
    """
    largest = weight.detach().abs()
    largest = largest.amax(dim=tuple(range(1, weight.ndim)), keepdim=True) if per_channel else largest.amax()
    _, high = bounds(bits, signed=True)
    return without_zeros(largest / high)


def without_zeros(scale: Tensor) -> Tensor:
    """Scales that are safe to divide by: values that are nearly zero are replaced by 1."""
    return torch.where(scale > 1e-30, scale, 1.0)


@torch.no_grad()
def keep_scales_positive(model: nn.Module, progress: float = 1.0) -> None:
    """Make learned scales positive again after an update that was too large; for `after_update` of `Trainer.fit`."""
    for module in model.modules():
        if isinstance(module, WeightQuantizer):
            module.step_size.abs_().clamp_(min=_SMALLEST)
        elif isinstance(module, ActivationQuantizer):
            module.scale.abs_().clamp_(min=_SMALLEST)
