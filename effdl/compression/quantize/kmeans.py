"""Weight sharing: the weights of a layer take one of a few values, which are then trained.

Han, Mao & Dally 2016, "Deep Compression", section 3.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from effdl.compression.method import compression_method
from effdl.config.types import Bits, Count, Natural, Positive
from effdl.nn.layers import CONVOLUTIONS, weights
from effdl.training.trainer import Trainer

_Init = Literal["linear", "density", "random"]


class Codebook(nn.Module):
    """Parametrization that gives every weight the value of its cluster; zeros stay zero.

    Training moves `centroids` (clusters,); the gradient of each is the sum of its weights' gradients (section 3.3,
    equation 3). `index` (uint8, the weight's shape) stays as it is.
    """

    def __init__(self, centroids: Tensor, index: Tensor) -> None:
        super().__init__()
        self.centroids = nn.Parameter(centroids)
        self.register_buffer("index", index)

    def forward(self, weight: Tensor) -> Tensor:
        return torch.where(weight == 0, 0.0, self.centroids[self.index.int()])


@compression_method("values")
def kmeans(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Bits | None,
    linear_bits: Bits | None,
    init: _Init,
    iterations: Count,
    epochs: Natural | None,
    lr_scale: Positive,
) -> nn.Module:
    """Share the non-zero weights of each layer among ``2**level`` values, and train these.

    Args:
        level: number of bits of the index into a layer's values.
        linear_bits: the same for linear layers; None: `level`.
        init: how the centroids are initialized (section 3.2, see `first_centroids`).
        iterations: maximum number of iterations of k-means; it ends earlier when no centroid moves.
        epochs: number of epochs of fine-tuning; None: half as many as the run has.
        lr_scale: factor on the run's learning rate; small, as the gradient of a value is a sum over many weights.
    """
    for _, module, name in list(weights(model)):
        bits = level if linear_bits is None or isinstance(module, CONVOLUTIONS) else linear_bits
        weight = getattr(module, name).detach()
        values = weight[weight != 0].double().cpu().sort().values
        if len(values):
            centroids = lloyd(values, first_centroids(values, 2**bits, init), iterations).to(weight)
            codebook = Codebook(centroids, nearest(weight, centroids).to(torch.uint8))
            parametrize.register_parametrization(module, name, codebook)
    return trainer.fit(model, epochs=epochs, lr_scale=lr_scale)


def first_centroids(values: Tensor, clusters: int, init: _Init) -> Tensor:
    """Initial centroids of k-means in ascending order, (clusters,) (section 3.2).

    Args:
        values: (n,), in ascending order.
        clusters: number of centroids; "random" gives no more than n.
        init: "linear" spaces them equally from the smallest to the largest value, "density" at equal steps of the
            cumulative distribution of the values, and "random" draws them among the values.
    """
    if init == "linear":
        return torch.linspace(float(values[0]), float(values[-1]), clusters, dtype=values.dtype)
    if init == "density":
        return values[((torch.arange(clusters) + 0.5) / clusters * len(values)).long()]
    return values[torch.randperm(len(values))[:clusters]].sort().values


def lloyd(values: Tensor, centroids: Tensor, iterations: int) -> Tensor:
    """The centroids after at most `iterations` of one-dimensional k-means; that of an empty cluster does not move.

    A cluster of sorted values is a range of them, and its mean a difference of cumulative sums (Lloyd 1982).

    Args:
        values: (n,), in ascending order.
        centroids: (clusters,), in ascending order.
    """
    sums = F.pad(values.cumsum(0), (1, 0))
    for _ in range(iterations):
        edges = torch.searchsorted(values, _midpoints(centroids), right=True)
        ends = F.pad(F.pad(edges, (1, 0)), (0, 1), value=len(values))
        counts = ends.diff()
        means = torch.where(counts > 0, sums[ends].diff() / counts, centroids)
        if torch.equal(means, centroids):
            break
        centroids = means
    return centroids


def nearest(values: Tensor, centroids: Tensor) -> Tensor:
    """Index (int64, the values' shape) of the nearest centroid (clusters,), which are in ascending order."""
    return torch.bucketize(values.contiguous(), _midpoints(centroids))


def _midpoints(centroids: Tensor) -> Tensor:
    """The boundaries (clusters - 1,) between the clusters of neighbouring centroids."""
    return (centroids[1:] + centroids[:-1]) / 2
