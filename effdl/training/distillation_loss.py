"""What a loss of distillation is: the one contract between the methods that make it and the loop that calls it."""

from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class _DistillationLoss(Protocol):
    """A ``torch.nn.Module`` that turns the loss of a batch into that of a distillation.

    A method makes one for every training that it applies to: ``method(student, trainer, *, level, ...)``, marked with
    ``@compression_method("distillation_loss")``. Its own parameters (adapters, a peer) are trained with the student's
    and are in the checkpoints, so a teacher that stays as it is must not be a submodule.
    """

    def forward(self, images: Tensor, targets: Tensor, logits: Tensor, loss: Tensor) -> Tensor:
        """The new loss of a batch of n images.

        Args:
            images: normalized, float (n, C, H, W).
            targets: class indices, int64 (n,), -1 without a label, or class probabilities, float (n, classes), zeros
                without a label.
            logits: the student's, (n, classes), with their graph.
            loss: so far, (): of the labels, and of the distillation losses before this one.

        Returns:
            ().
        """

    def close(self) -> None:
        """Called once at the end of the training: take hooks off the models."""


def checked(made: object) -> nn.Module:
    """What a method made, if it is a distillation loss.

    Raises:
        TypeError: it is not; says what is missing.
    """
    if not isinstance(made, nn.Module) or not isinstance(made, _DistillationLoss):
        raise TypeError(
            f"{type(made).__name__} is no distillation loss: it must be a torch.nn.Module with"
            " forward(images, targets, logits, loss) and close()"
        )
    return made
