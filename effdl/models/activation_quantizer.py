"""Quantized activations as a module of the model, so that they are stored, rebuilt, counted and exported with it."""

import torch
from torch import Tensor, nn

from effdl.distributed import world_size
from effdl.rounding import bounds, fake_quantize


class ActivationQuantizer(nn.Module):
    """Rounds its input, of any shape, to integers of `bits` bits times `scale`, with one scale for the tensor.

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
