"""The objective of methods that predict the projection of one view from another, without negatives."""

import copy
from itertools import permutations

import torch
from torch import Tensor, nn

from effdl.pretraining.contrast import Loss
from effdl.pretraining.momentum_copy import follow


class Predict(nn.Module):
    """Mean over all pairs of views, in both orders, of ``loss(predictor(projector(first)), target of second)``.

    The target is the projection of the other view, to which no gradient flows: without the stop all embeddings become
    the same (Chen & He 2021, section 4.1). With `momentum` a copy of both makes it, whose weights follow.

    Args:
        trunk: the model without its last layer.
        shape: (views, C, H, W).
        momentum: of the copy, see `follow`. None: the projector itself makes the targets.
        stop_gradient: False shows what it is good for.
    """

    collapses = True

    def __init__(
        self,
        trunk: nn.Module,
        shape: tuple[int, ...],
        projector: nn.Module,
        predictor: nn.Module,
        loss: Loss,
        momentum: float | None = None,
        stop_gradient: bool = True,
    ) -> None:
        super().__init__()
        self.shape, self.projector, self.predictor, self.loss = shape, projector, predictor, loss
        self.momentum, self.stop_gradient = momentum, stop_gradient
        self.target = None
        if momentum is not None:
            self.target = copy.deepcopy(nn.Sequential(trunk, projector)).requires_grad_(False)

    def forward(self, images: Tensor, targets: Tensor, features: Tensor) -> Tensor:
        projections = self.projector(features)
        predictions = self.predictor(projections).chunk(self.shape[0])
        if self.target is not None:
            with torch.no_grad():
                projections = self.target(images)
        aims = (projections.detach() if self.stop_gradient else projections).chunk(self.shape[0])
        pairs = permutations(range(self.shape[0]), 2)
        return torch.stack([self.loss(predictions[own], aims[other]) for own, other in pairs]).mean()

    def embed(self, features: Tensor) -> Tensor:
        """The projections (n, d)."""
        return self.projector(features)

    def after_update(self, model: nn.Module, progress: float) -> None:
        """Move the copy's weights towards those of model and projector."""
        if self.target is not None:
            follow(self.target, [*model.parameters(), *self.projector.parameters()], self.momentum, progress)
