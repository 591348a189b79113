"""DenseNet-BC for small images."""

import torch
from torch import nn

from effdl.config.types import Count, Fraction, Layers
from effdl.models.blocks import he_init, pooled_classifier
from effdl.utils.errors import UserError


def _norm_relu_conv(inputs: int, outputs: int, kernel: int, dropout: float) -> list[nn.Module]:
    """The paper's composite function; dropout follows every convolution but the first of the network."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return [nn.BatchNorm2d(inputs), nn.ReLU(), conv, nn.Dropout(dropout)]


class _DenseLayer(nn.Module):
    """Bottleneck of 4 x growth channels, then ``growth`` new ones: (N, inputs, H, W) to (N, inputs + growth, H, W)."""

    def __init__(self, inputs: int, growth: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_norm_relu_conv(inputs, 4 * growth, 1, dropout), *_norm_relu_conv(4 * growth, growth, 3, dropout)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.layers(x)], dim=1)


def densenet(
    channels: int,
    image_size: int,
    classes: int,
    *,
    depth: Layers = 100,
    growth: Count = 12,
    dropout: Fraction = 0.0,
) -> nn.Module:
    """Three dense blocks of (depth-4)/6 layers; between them the channels and the sides of the maps are halved.

    Huang et al. 2017, section 3 and table 2: DenseNet-BC (depth 100, growth 12) has 769,162 parameters for CIFAR-10.
    Takes images from 4x4 on. Raises UserError for a depth that is not 6n+4.
    """
    if depth < 10 or depth % 6 != 4:
        raise UserError(f"model.depth={depth}: a DenseNet-BC has 6n+4 layers (10, 16, 22, ..., 40, ..., 100)")
    width = 2 * growth
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
    for block in range(3):
        if block > 0:
            layers += [*_norm_relu_conv(width, width // 2, 1, dropout), nn.AvgPool2d(2)]
            width //= 2
        for _ in range((depth - 4) // 6):
            layers.append(_DenseLayer(width, growth, dropout))
            width += growth
    layers += [nn.BatchNorm2d(width), nn.ReLU()]
    return he_init(nn.Sequential(*layers, *pooled_classifier(width, classes, 0.0)))
