"""Residual networks for small images: the thin CIFAR family of the paper, and the wide ResNet-18."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from effdl.config.annotations import show
from effdl.config.types import Count, Fraction, ReadIf, Width
from effdl.models.blocks import conv_bn, he_init, pooled_classifier
from effdl.models.scaling import scaled
from effdl.models.variants import Convolution, convolutions
from effdl.utils.errors import UserError


class ZeroPadShortcut(nn.Module):
    """Option A of He et al. 2016, section 3.3: keep every ``stride``-th pixel, append zero channels; no parameters.

    (N, inputs, H, W) to (N, outputs, H/stride, W/stride). Where channels were removed, ``sources`` has the input
    channel that each output channel takes, or -1 for one that is zero; None: all inputs, then zeros.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, sources: Sequence[int] | None = None) -> None:
        super().__init__()
        self.inputs, self.outputs, self.stride = inputs, outputs, stride
        self.sources = None if sources is None else tuple(sources)
        index = None
        if sources is not None:
            if len(sources) != outputs or not all(-1 <= source < inputs for source in sources):
                raise ValueError(f"{len(sources)} sources for {outputs} outputs of {inputs} inputs")
            index = torch.tensor([source if source >= 0 else inputs for source in sources])
        self.register_buffer("index", index, persistent=False)  # of the inputs and a zero channel

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        if self.index is None:
            return F.pad(x, (0, 0, 0, 0, 0, self.outputs - self.inputs))
        return F.pad(x, (0, 0, 0, 0, 0, 1)).index_select(1, self.index)


def _projection_shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Option B of the same section: a 1x1 convolution with batch norm."""
    return nn.Sequential(*conv_bn(inputs, outputs, 1, stride=stride))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (N, inputs, H, W) to (N, outputs, H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: nn.Module) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_bn(inputs, outputs, 3, stride=stride)
        self.relu1 = nn.ReLU()
        self.conv2, self.bn2 = conv_bn(outputs, outputs, 3)
        self.shortcut = shortcut
        self.relu2 = nn.ReLU()  # not relu1 again: quantizers need one module per activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu2(out + self.shortcut(x))


def _residual_network(
    channels: int,
    classes: int,
    widths: Sequence[int],
    blocks: Sequence[int],
    make_shortcut: Callable[[int, int, int], nn.Module],
    dropout: float,
) -> nn.Module:
    """A 3x3 stem, a stage of so many blocks for each width (all but the first halve the map), a classifier."""
    inputs = widths[0]
    layers: list[nn.Module] = [*conv_bn(channels, inputs, 3), nn.ReLU()]
    for stage, (outputs, count) in enumerate(zip(widths, blocks, strict=True)):
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            same = stride == 1 and inputs == outputs
            shortcut = nn.Identity() if same else make_shortcut(inputs, outputs, stride)
            layers.append(BasicBlock(inputs, outputs, stride, shortcut))
            inputs = outputs
    return he_init(nn.Sequential(*layers, *pooled_classifier(inputs, classes, dropout)))


def resnet(
    channels: int,
    image_size: int,
    classes: int,
    *,
    depth: Annotated[Literal[8, 20, 32, 44, 56, 110], ReadIf(blocks=None)] = 20,
    width: Annotated[Width, ReadIf(widths=None)] = 1.0,
    blocks: Annotated[list[Count], Field(min_length=1)] | None = None,
    widths: Annotated[list[Count], Field(min_length=1)] | None = None,
    conv: Convolution = "standard",
    groups: Count = 2,
    dropout: Fraction = 0.0,
) -> nn.Module:
    """ResNet-``depth`` for CIFAR: three stages of 16, 32 and 64 channels (times ``width``), (depth-2)/6 blocks each.

    He et al. 2016 (Deep residual learning), section 4.2, shortcuts of option A: ResNet-20 has 269,722 parameters.
    ``blocks`` and ``widths`` say these numbers for each stage, of which there may be more; all but the first halve the
    map. ResNet-20 is ``blocks=[3,3,3] widths=[16,32,64]``.
    ``conv`` and ``groups``: see `variants.convolutions`. ``dropout`` acts before the last layer. Takes images of any
    size.
    """
    widths = widths or [scaled(base, width) for base in (16, 32, 64)]
    blocks = blocks or [(depth - 2) // 6] * len(widths)
    if len(blocks) != len(widths):
        raise UserError(
            f"model.blocks={show(blocks)} are {len(blocks)} stages, model.widths={show(widths)} {len(widths)} "
            "(allowed: a number of each for every stage)"
        )
    if list(widths) != sorted(widths):
        raise UserError(f"model.widths={show(widths)}: allowed are numbers that do not decrease")
    model = _residual_network(channels, classes, widths, blocks, ZeroPadShortcut, dropout)
    return convolutions(model, conv, groups)


def resnet18(
    channels: int,
    image_size: int,
    classes: int,
    *,
    width: Width = 1.0,
    conv: Convolution = "standard",
    groups: Count = 2,
    dropout: Fraction = 0.0,
) -> nn.Module:
    """ResNet-18 with a 3x3 stem: four stages of 64 to 512 channels (times ``width``), two blocks each.

    He et al. 2016, table 1, adapted to 32x32 images as in kuangliu/pytorch-cifar: 11,173,962 parameters for CIFAR-10.
    ``conv`` and ``groups``: see `variants.convolutions`. ``dropout`` acts before the last layer. Takes images of any
    size.
    """
    widths = [scaled(base, width) for base in (64, 128, 256, 512)]
    model = _residual_network(channels, classes, widths, [2] * 4, _projection_shortcut, dropout)
    return convolutions(model, conv, groups)
