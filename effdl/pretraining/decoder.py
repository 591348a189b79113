"""Decoders: from the features of a network back to an image."""

from itertools import pairwise

from torch import Tensor, nn

_LEAST = 7  # pixels: maps are halved down to no more


class _Map(nn.Module):
    """Vectors (n, D) as maps (n, C, S, S)."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.shape = (channels, size, size)

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, self.shape)


def decoder_of(trunk: nn.Module, shape: tuple[int, int, int], width: int, channels: int) -> nn.Module:
    """A network from features (n, width) to images (n, *shape), of the kind of the trunk.

    For a trunk of linear layers: their widths in reverse, ReLUs between them. Else a linear layer to a small map, and
    for every doubling of its size a nearest-neighbour upsampling, a 3x3 convolution, batch norm and ReLU.

    Args:
        channels: of the maps of full size; with every halving twice as many.
    """
    if not any(isinstance(module, nn.Conv2d) for module in trunk.modules()):
        sizes = [module.in_features for module in trunk.modules() if isinstance(module, nn.Linear)]
        return _linear([width, *reversed(sizes)], shape)
    return _convolutional(shape, width, channels)


def _linear(sizes: list[int], shape: tuple[int, int, int]) -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1], nn.Unflatten(1, shape))


def _convolutional(shape: tuple[int, int, int], width: int, channels: int) -> nn.Module:
    sizes = [shape[-1]]
    while sizes[0] > _LEAST:
        sizes.insert(0, (sizes[0] + 1) // 2)
    widths = [channels * 2 ** (len(sizes) - 1 - i) for i in range(len(sizes))]
    layers: list[nn.Module] = [nn.Linear(width, widths[0] * sizes[0] ** 2), _Map(widths[0], sizes[0])]
    for size, (inputs, outputs) in zip(sizes[1:], pairwise(widths), strict=True):
        layers += [nn.BatchNorm2d(inputs), nn.ReLU(), nn.Upsample(size=(size, size))]
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)]
    return nn.Sequential(*layers, nn.BatchNorm2d(widths[-1]), nn.ReLU(), nn.Conv2d(widths[-1], shape[0], 3, padding=1))
