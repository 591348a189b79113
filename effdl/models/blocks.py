"""Building blocks of convolutional families, and their initialisation."""

from torch import nn


def conv_bn(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, bias: bool = False
) -> list[nn.Module]:
    """A convolution that keeps the size of the map (or divides it by ``stride``), and its batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=bias)
    return [conv, nn.BatchNorm2d(outputs)]


def pooled_classifier(features: int, classes: int, dropout: float) -> list[nn.Module]:
    """Global average pooling, dropout and a linear layer: (N, features, H, W) of any H and W to (N, classes)."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(features, classes)]


def he_init(model: nn.Module) -> nn.Module:
    """Draw the weights of all convolutions from N(0, 2/fan_out) (He et al. 2015, "Delving deep", section 2.2)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model
