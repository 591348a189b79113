"""Find and replace the first and the last layer of a classifier from any library."""

from collections.abc import Iterable

import torch
from torch import nn


def _layers(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, kinds)]


def last_layer(model: nn.Module) -> tuple[str, nn.Module]:
    """Name and module of the layer that computes the logits: the last registered linear layer or convolution."""
    return _layers(model, (nn.Linear, nn.Conv2d))[-1]


def first_convolution(model: nn.Module) -> tuple[str, nn.Conv2d] | None:
    """Name and module of the first registered convolution; None if there is none."""
    return next(iter(_layers(model, (nn.Conv2d,))), None)


def set_classes(model: nn.Module, classes: int) -> None:
    """Replace the last layer, freshly initialised, unless it already has ``classes`` outputs."""
    name, layer = last_layer(model)
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear) and layer.out_features != classes:
        model.set_submodule(name, nn.Linear(layer.in_features, classes, bias=bias))
    elif isinstance(layer, nn.Conv2d) and layer.out_channels != classes:
        model.set_submodule(name, nn.Conv2d(layer.in_channels, classes, layer.kernel_size, bias=bias))


def start_small(model: nn.Module, names: Iterable[str]) -> None:
    """Draw new weights of a last layer that learns on trained features: deviation 0.01, and biases of zero.

    Libraries draw them for layers that learn with the rest: timm's EfficientNets uniformly to 1/sqrt(classes). With few
    labels most of that is never unlearned, since it is orthogonal to the features of all training images. Not zero
    (Kolesnikov et al. 2020, "Big Transfer"), as nothing would come through a ReLU behind it, as in SqueezeNet.

    Args:
        names: of its parameters.
    """
    for name in names:
        parameter = model.get_parameter(name)
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.01)
        else:
            nn.init.zeros_(parameter)


def adapt_filters(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Filters (outputs, inputs, kH, kW) for images of another number of ``channels``, with outputs as large as before.

    With one channel they are the sum over the old inputs, which gives the old outputs for a grey image. With more,
    the old inputs are repeated in turn and scaled by inputs/channels.
    """
    inputs = weight.shape[1]
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    return weight[:, torch.arange(channels) % inputs] * (inputs / channels)


def set_channels(model: nn.Module, channels: int) -> None:
    """Replace the first convolution, its filters adapted, unless it already takes ``channels`` channels."""
    name, conv = first_convolution(model)
    if conv.in_channels == channels:
        return
    bias = conv.bias is not None
    new = nn.Conv2d(channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation, bias=bias)
    with torch.no_grad():
        new.weight.copy_(adapt_filters(conv.weight, channels))
        if bias:
            new.bias.copy_(conv.bias)
    model.set_submodule(name, new)
