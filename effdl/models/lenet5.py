"""LeNet-5 in the version of Caffe, which pruning papers use."""

from torch import nn

from effdl.config.types import Fraction
from effdl.models.scaling import padding_5x5


def lenet5(channels: int, image_size: int, classes: int, *, dropout: Fraction = 0.0) -> nn.Module:
    """Conv 20@5x5, pool 2, conv 50@5x5, pool 2, 500, ReLU, classes: 431,080 parameters on MNIST.

    Caffe, examples/mnist/lenet.prototxt: the only ReLU follows the first linear layer. Images below 28x28 are
    padded (`scaling.padding_5x5`). ``dropout`` acts before the last layer, as in Han et al. 2015, section 3.2.
    """
    padding = padding_5x5(image_size)
    size = image_size
    for _ in range(2):
        size = (size + 2 * padding - 4) // 2
    return nn.Sequential(
        nn.Conv2d(channels, 20, 5, padding=padding),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5, padding=padding),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(50 * size**2, 500),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(500, classes),
    )
