"""Deep mutual learning: two networks are trained together, each with the labels and the outputs of the other.

Zhang, Xiang, Hospedales & Lu 2018, "Deep Mutual Learning", section 2.
"""

import copy
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from effdl.compression.distill.logits import divergence
from effdl.compression.method import compression_method
from effdl.config.types import NonNegative, Positive
from effdl.training.label_loss import label_loss
from effdl.training.trainer import Trainer


@compression_method("distillation_loss")
def mutual(
    student: nn.Module,
    trainer: Trainer,
    *,
    level: str | None,
    temperature: Positive,
    weight: NonNegative,
) -> nn.Module:
    """Train a peer together with the student; the loss of each has `weight` times its divergence from the other.

    In the first training the peer is a newly initialized model of the run's config; later it starts as a copy of the
    dense model.

    Args:
        level: the only level is "peer".
        temperature: divides the logits of both; 1 in the paper.
        weight: factor on the divergence; 1 in the paper.
    """
    peer = trainer.fresh_model() if trainer.dense is None else copy.deepcopy(trainer.dense).requires_grad_(True)
    peer_loss = partial(
        label_loss, smoothing=trainer.recipe.label_smoothing, all_labelled=trainer.data.unlabelled is None
    )
    return _Mutual(trainer.device.move(peer).train(), temperature, weight, peer_loss)


class _Mutual(nn.Module):
    """The distillation loss of two networks; the peer is a submodule, so that it is trained, too."""

    def __init__(self, peer: nn.Module, temperature: float, weight: float, peer_loss: Callable[..., Tensor]):
        super().__init__()
        self.peer, self.temperature, self.weight = peer, temperature, weight
        self.peer_loss = peer_loss

    def forward(self, images: Tensor, targets: Tensor, logits: Tensor, loss: Tensor) -> Tensor:
        answers = self.peer(images)
        return (
            loss + self.peer_loss(answers, targets) + self.weight * mutual_divergence(logits, answers, self.temperature)
        )

    def close(self) -> None:
        """There are no hooks to remove."""


def mutual_divergence(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """``KL(p2 || p1) + KL(p1 || p2)`` of two models' logits (n, classes), without gradients in the first of each pair.

    Equations 5 and 6: each network gets the gradient of its own divergence only.
    """
    return divergence(first, second.detach(), temperature) + divergence(second, first.detach(), temperature)
