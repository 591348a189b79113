"""Fake quantization: float arithmetic that rounds values to an integer grid, with straight-through gradients."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class QuantGrid:
    """The integer grid of a weight tensor, which is stored as codes of `bits` bits, to be multiplied by `scale`.

    `scale` broadcasts to the weight: () for the tensor, (outputs, 1, 1, 1) per channel. One bit means codes -1 and 1.
    """

    scale: Tensor
    bits: int


def bounds(bits: int, signed: bool) -> tuple[int, int]:
    """Smallest and largest code of an integer of `bits` bits."""
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def round_through(x: Tensor) -> Tensor:
    """Round half to even, with the gradient of the identity (straight-through, Bengio et al. 2013, section 4).

    Exact, and zeros come out positive: ``x.round() - x`` has no rounding error.
    """
    return x + (x.round() - x).detach()


def sign_through(x: Tensor) -> Tensor:
    """1 where ``x >= 0``, else -1, with a gradient of 1 where ``|x| <= 1`` and 0 elsewhere.

    Rastegari et al. 2016, "XNOR-Net", section 3.1; Courbariaux et al. 2016, "Binarized Neural Networks", section 1.3.
    """
    through = torch.where(x.abs() > 1, 0.0, x)
    return (x >= 0).to(x.dtype) * 2 - 1 + (through - through.detach())  # the difference is zero, and has the gradient


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """The same value, with its gradient multiplied."""
    return x.detach() + (x - x.detach()) * factor


def fake_quantize(x: Tensor, scale: Tensor, zero_point: Tensor | float, low: int, high: int, parts: int = 1) -> Tensor:
    """The values nearest to `x` among ``(code - zero_point) * scale`` with integer codes from `low` to `high`.

    Ties go to the even multiple of `scale`, and x is divided by it, as ONNX's QuantizeLinear does. The gradient of `x`
    passes where it is not clipped; that of `scale` is the learned step size's (Esser et al. 2020, "Learned Step Size
    Quantization", equations 1 to 3, with the gradient scale of section 2.2).

    Args:
        x: of any shape; computed with in the type of `scale`.
        scale: positive, broadcastable to `x`.
        low, high: the smallest and the largest code.
        parts: number of equal parts of the quantized tensor, of which `x` is one (the batches of several processes).
    """
    x = x.to(scale.dtype)
    if torch.is_grad_enabled() and scale.requires_grad:
        scale = scale_gradient(scale, 1 / math.sqrt(parts * x.numel() / scale.numel() * max(high, 1)))
    return round_through((x / scale).clamp(low - zero_point, high - zero_point)) * scale
