"""MobileNetV2 for small images."""

import torch
from torch import nn

from effdl.config.types import Fraction, Width
from effdl.models.blocks import conv_bn, he_init, pooled_classifier
from effdl.models.scaling import scaled

# (expansion, channels, blocks, stride of the first block): table 2 of the paper, but stride 1 for the 24 channels.
_STAGES = [(1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


class _InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, linear 1x1 projection: (N, inputs, H, W) to (N, outputs, H/stride, W/stride).

    Sandler et al. 2018, section 3.3; the shortcut exists only where input and output have the same shape.
    """

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        expand = [*conv_bn(inputs, inner, 1), nn.ReLU6()] if expansion > 1 else []
        depthwise = [*conv_bn(inner, inner, 3, stride=stride, groups=inner), nn.ReLU6()]
        self.layers = nn.Sequential(*expand, *depthwise, *conv_bn(inner, outputs, 1))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.layers(x)
        return x + out if self.residual else out


def mobilenetv2(
    channels: int, image_size: int, classes: int, *, width: Width = 1.0, dropout: Fraction = 0.0
) -> nn.Module:
    """17 inverted residual blocks, 16 to 320 channels times ``width`` (in multiples of 8), 1,280 features.

    Sandler et al. 2018, table 2, with a stem and second stage of stride 1 for 32x32 images: 2,236,682 parameters
    for 10 classes. The 1,280 features do not shrink below ``width`` 1. ``dropout`` acts before the last layer.
    Takes images of any size.
    """
    inputs = scaled(32, width, 8)
    layers: list[nn.Module] = [*conv_bn(channels, inputs, 3), nn.ReLU6()]
    for expansion, base, blocks, first_stride in _STAGES:
        outputs = scaled(base, width, 8)
        for block in range(blocks):
            layers.append(_InvertedResidual(inputs, outputs, expansion, first_stride if block == 0 else 1))
            inputs = outputs
    features = scaled(1280, max(1.0, width), 8)
    layers += [*conv_bn(inputs, features, 1), nn.ReLU6()]
    return he_init(nn.Sequential(*layers, *pooled_classifier(features, classes, dropout)))
