"""VGG with batch norm for small images."""

from typing import Literal

from torch import nn

from effdl.config.types import Count, Fraction, Width
from effdl.models.blocks import conv_bn, he_init, pooled_classifier
from effdl.models.scaling import scaled
from effdl.models.variants import Convolution, convolutions

_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # table 1


def vgg(
    channels: int,
    image_size: int,
    classes: int,
    *,
    depth: Literal[11, 13, 16, 19] = 16,
    width: Width = 1.0,
    conv: Convolution = "standard",
    groups: Count = 2,
    dropout: Fraction = 0.0,
) -> nn.Module:
    """VGG-``depth``: five groups of 3x3 convolutions with 64 to 512 channels (times ``width``), pooling after each.

    Simonyan & Zisserman 2015, table 1, with batch norm and a single linear layer as in kuangliu/pytorch-cifar:
    VGG-16 has 14,728,266 parameters for CIFAR-10. Images under 32x32 have one pixel left before the fifth pooling; the
    remaining poolings are then omitted. ``conv`` and ``groups``: see `variants.convolutions`. ``dropout`` acts before
    the last layer.
    """
    layers: list[nn.Module] = []
    inputs, size = channels, image_size
    for base, number in zip((64, 128, 256, 512, 512), _CONVOLUTIONS[depth], strict=True):
        outputs = scaled(base, width)
        for _ in range(number):
            layers += [*conv_bn(inputs, outputs, 3, bias=True), nn.ReLU()]
            inputs = outputs
        if size > 1:
            layers.append(nn.MaxPool2d(2))
            size //= 2
    model = he_init(nn.Sequential(*layers, *pooled_classifier(inputs, classes, dropout)))
    return convolutions(model, conv, groups)
