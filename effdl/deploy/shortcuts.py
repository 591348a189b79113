"""Shortcuts without parameters as convolutions, which runtimes can fuse."""

import torch
from torch import nn

from effdl.models.resnet import ZeroPadShortcut


def as_convolutions(model: nn.Module) -> None:
    """Replace every `ZeroPadShortcut` by a 1x1 convolution of ones and zeros with the same outputs; in place.

    Slices and pads keep ONNX Runtime from fusing the residual sums that they enter, and from leaving activations in
    the layout of its convolutions; a convolution costs less than that, although its MACs are not zero.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, ZeroPadShortcut):
            model.set_submodule(name, convolution(module))


@torch.no_grad()
def convolution(shortcut: ZeroPadShortcut) -> nn.Conv2d:
    """The convolution whose output channels are the input channels that the shortcut copies, or zero."""
    conv = nn.Conv2d(shortcut.inputs, shortcut.outputs, 1, shortcut.stride, bias=False)
    one_channel_each = torch.eye(shortcut.inputs)[:, :, None, None]  # images of one pixel
    conv.weight.copy_(shortcut(one_channel_each).transpose(0, 1))
    return conv
