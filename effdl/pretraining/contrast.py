"""The objective of methods that compare the projections of views, two by two, in one symmetric loss."""

from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor, nn

from effdl.utils.data_parallel import gather

Loss = Callable[[Tensor, Tensor], Tensor]  # of two views' vectors, each (n, d); of all images of a batch


class Contrast(nn.Module):
    """Mean of ``loss(projector(first), projector(second))`` over all pairs of views of the same images.

    More than two: Shidani et al. 2024, "Poly-View Contrastive Learning", section 2.3 (multi-crop).

    Args:
        shape: (views, C, H, W).
    """

    collapses = True

    def __init__(self, shape: tuple[int, ...], projector: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.shape, self.projector, self.loss = shape, projector, loss

    def forward(self, images: Tensor, targets: Tensor, features: Tensor) -> Tensor:
        views = map(gather, self.projector(features).chunk(self.shape[0]))
        losses = [self.loss(first, second) for first, second in combinations(views, 2)]
        return torch.stack(losses).mean()

    def embed(self, features: Tensor) -> Tensor:
        """The projections (n, d)."""
        return self.projector(features)
