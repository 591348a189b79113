"""The small MNIST network of a deep learning lecture."""

from torch import nn

from effdl.config.types import Count, Fraction
from effdl.models.scaling import padding_5x5
from effdl.models.variants import Convolution, convolutions


def convnet(
    channels: int,
    image_size: int,
    classes: int,
    *,
    conv: Convolution = "standard",
    groups: Count = 2,
    dropout: Fraction = 0.0,
) -> nn.Module:
    """Conv 32@5x5, pool 3, ReLU; conv 64@5x5, pool 2, ReLU; 200, ReLU; classes: 105,506 parameters on MNIST.

    Fleuret, "Deep learning" course, lecture 1.2. Images below 28x28 are padded (`scaling.padding_5x5`).
    ``conv`` and ``groups``: see `variants.convolutions`. ``dropout`` acts before the last layer.
    """
    padding = padding_5x5(image_size)
    size = image_size
    for pool in (3, 2):
        size = (size + 2 * padding - 4) // pool
    model = nn.Sequential(
        nn.Conv2d(channels, 32, 5, padding=padding),
        nn.MaxPool2d(3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 5, padding=padding),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * size**2, 200),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(200, classes),
    )
    return convolutions(model, conv, groups)
