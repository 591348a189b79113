"""The objective of methods that compare the projections of two views in one symmetric loss."""

from collections.abc import Callable

from torch import Tensor, nn

from effdl.utils.data_parallel import gather

Loss = Callable[[Tensor, Tensor], Tensor]  # of two views' vectors, each (n, d); of all images of a batch


class Contrast(nn.Module):
    """``loss(projector(first), projector(second))`` of the features of two views.

    Args:
        shape: (C, H, W) of an image.
    """

    collapses = True

    def __init__(self, shape: tuple[int, int, int], projector: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.shape, self.projector, self.loss = (2, *shape), projector, loss

    def forward(self, images: Tensor, targets: Tensor, features: Tensor) -> Tensor:
        first, second = map(gather, self.projector(features).chunk(2))
        return self.loss(first, second)

    def embed(self, features: Tensor) -> Tensor:
        """The projections (n, d)."""
        return self.projector(features)
