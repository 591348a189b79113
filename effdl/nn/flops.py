"""Counts of the floating-point operations of a forward and a backward pass."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count, flop_registry

from effdl.nn.weight_uses import unfused


class _Counter(TorchDispatchMode):
    """Sees every operation below autograd; `total` are the FLOPs of those that multiply matrices."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        operation = func._overloadpacket
        if operation is torch.ops.aten.convolution_backward:
            self.total += _convolution_backward(*args)
        elif operation in flop_registry:
            self.total += flop_registry[operation](*args, **(kwargs or {}), out_val=out)
        return out


@contextmanager
def counting(model: nn.Module) -> Iterator[_Counter]:
    """Count the operations in the ``with`` block, where `model` runs: `total` of what it gives.

    PyTorch's own counter follows modules too, and fails in the backward pass of parametrizations.
    """
    with unfused(model), _Counter() as counter:
        yield counter


def _convolution_backward(
    grad_output, inputs, weight, bias, stride, padding, dilation, transposed, output_padding, groups, wanted
) -> int:
    """FLOPs of a convolution's backward pass: as many as forward for each gradient that is wanted.

    PyTorch's own formula takes a grouped convolution for a dense one: 7 times too many for MobileNetV2.
    """
    return conv_flop_count(inputs.shape, weight.shape, grad_output.shape, transposed) * sum(wanted[:2])
