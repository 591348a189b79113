"""Cheaper convolutions for any family: depthwise separable or grouped ones replace its own."""

from typing import Literal

from torch import nn

from effdl.utils.errors import UserError

Convolution = Literal["standard", "separable", "grouped"]


def convolutions(model: nn.Module, kind: Convolution, groups: int) -> nn.Module:
    """Replace, in place, the convolutions with a window larger than one pixel by new ones, and return the model.

    "separable": one kxk filter per input channel, then a 1x1 convolution (Howard et al. 2017, "MobileNets", section
    3.1), with nothing between them (Chollet 2017, "Xception", section 4.7): k²·C + C·N weights in place of k²·C·N.
    "grouped": `groups` groups of C/groups input and N/groups output channels that do not mix (Krizhevsky et al. 2012):
    k²·C·N/groups weights. "standard": the model is not changed.

    The first convolution, which reads the few channels of the image, and grouped convolutions are not replaced. New
    ones have PyTorch's initialisation, which depends on the actual number of inputs of a filter.

    Raises:
        UserError: `groups` does not divide the channels of a layer.
    """
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    for name, layer in layers[1:]:
        if kind != "standard" and layer.groups == 1 and layer.kernel_size != (1, 1):
            model.set_submodule(name, _separable(layer) if kind == "separable" else _grouped(name, layer, groups))
    return model


def _separable(layer: nn.Conv2d) -> nn.Sequential:
    depthwise = nn.Conv2d(
        layer.in_channels,
        layer.in_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        groups=layer.in_channels,
        bias=False,
    )
    return nn.Sequential(depthwise, nn.Conv2d(layer.in_channels, layer.out_channels, 1, bias=layer.bias is not None))


def _grouped(name: str, layer: nn.Conv2d, groups: int) -> nn.Conv2d:
    inputs, outputs = layer.in_channels, layer.out_channels
    if inputs % groups or outputs % groups:
        raise UserError(
            f"model.groups={groups}: must divide the {inputs} input and {outputs} output channels of {name}"
        )
    window = layer.kernel_size, layer.stride, layer.padding
    return nn.Conv2d(inputs, outputs, *window, groups=groups, bias=layer.bias is not None)
