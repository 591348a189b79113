"""MobileNet (version 1) for small images."""

from torch import nn

from effdl.config.types import Fraction, Width
from effdl.models.blocks import conv_bn, he_init, pooled_classifier
from effdl.models.scaling import scaled

# (channels, stride) of the separable convolutions: table 1 of the paper.
_BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]


def mobilenet(
    channels: int, image_size: int, classes: int, *, width: Width = 1.0, dropout: Fraction = 0.0
) -> nn.Module:
    """13 depthwise separable convolutions, 64 to 1,024 channels times ``width``.

    Howard et al. 2017, table 1, with a stem of stride 1 for 32x32 images as in kuangliu/pytorch-cifar: 3,217,226
    parameters for CIFAR-10. ``dropout`` acts before the last layer. Takes images of any size.
    """
    inputs = scaled(32, width)
    layers: list[nn.Module] = [*conv_bn(channels, inputs, 3), nn.ReLU()]
    for base, stride in _BLOCKS:
        outputs = scaled(base, width)
        layers += [*conv_bn(inputs, inputs, 3, stride=stride, groups=inputs), nn.ReLU()]
        layers += [*conv_bn(inputs, outputs, 1), nn.ReLU()]
        inputs = outputs
    return he_init(nn.Sequential(*layers, *pooled_classifier(inputs, classes, dropout)))
