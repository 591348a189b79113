"""The objective of methods in which a network learns the prototypes that its own moving copy assigns to images."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from effdl.pretraining.momentum_copy import follow
from effdl.utils.data_parallel import gather


class SelfDistillation(nn.Module):
    """``loss(copy's answers, own answers)``, of which the loss takes the pairs of different views.

    Args:
        trunk: the model without its last layer.
        shape: (views, C, H, W).
        head: makes one: features (n, D) to prototypes (n, K); its ``layers`` end where embeddings are read, (n, d).
        loss: of two lists of (n, K), one for each view.
        momentum: of the copy, see `follow`.
    """

    collapses = True

    def __init__(
        self, trunk: nn.Module, shape: tuple[int, ...], head: Callable[[], nn.Module], loss: nn.Module, momentum: float
    ) -> None:
        super().__init__()
        self.shape, self.projector, self.loss, self.momentum = shape, head(), loss, momentum
        copied = head()  # weight-normalized layers cannot be copied
        copied.load_state_dict(self.projector.state_dict())
        self.target = nn.Sequential(copy.deepcopy(trunk), copied).requires_grad_(False)

    def forward(self, images: Tensor, targets: Tensor, features: Tensor) -> Tensor:
        own = self.projector(features)
        with torch.no_grad():
            aims = self.target(images)
        return self.loss(*([gather(view) for view in answers.chunk(self.shape[0])] for answers in (aims, own)))

    def embed(self, features: Tensor) -> Tensor:
        """What the prototypes are compared with (n, d)."""
        return self.projector.layers(features)

    def after_update(self, model: nn.Module, progress: float) -> None:
        """Move the copy's weights towards those of model and projector."""
        follow(self.target, [*model.parameters(), *self.projector.parameters()], self.momentum, progress)
