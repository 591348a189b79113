"""What a training without labels minimizes: the contract between methods that make it and the loop."""

from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class _Objective(Protocol):
    """A ``torch.nn.Module`` that turns the features of a batch into a loss, in place of the labels.

    Its own parameters (projectors, decoders) are trained with the model's; all that it keeps is in the checkpoints. It
    may have ``after_update(model, progress)``, called without gradients after every step of the optimizer with the
    finished part of the training, in (0, 1], ``draw(model, images)``, which gives normalized images (n, C, H, W) as the
    model sees them and as a decoder draws them, and ``close()``, called once at the end of the training.
    """

    shape: tuple[int, ...]  # of what it is given of an image: (C, H, W), or (views, C, H, W)
    collapses: bool  # whether it is small if all embeddings are the same, which stops a training then

    def forward(self, images: Tensor, targets: Tensor, features: Tensor) -> Tensor:
        """The loss of a batch of n images, ().

        Args:
            images: normalized, float (n, C, H, W); of views (views x n, C, H, W), the first views of all images first.
            targets: what the augmentation made of the labels; of no use unless it made them itself.
            features: what the model makes of these images, (views x n, D), with their graph.
        """

    def embed(self, features: Tensor) -> Tensor:
        """What the loss compares, float (n, d), of features (n, D): it should not become the same for all images."""


def checked(made: object) -> nn.Module:
    """What a method made, if it is an objective.

    Raises:
        TypeError: it is not; says what is missing.
    """
    if not isinstance(made, nn.Module) or not isinstance(made, _Objective):
        raise TypeError(
            f"{type(made).__name__} is no objective: it must be a torch.nn.Module with shape,"
            " collapses, forward(images, targets, features) and embed(features)"
        )
    return made


def stacked(images: Tensor) -> Tensor:
    """Views of images (n, views, C, H, W) as one batch (views x n, C, H, W); images (n, C, H, W) as they are."""
    return images.transpose(0, 1).flatten(0, 1) if images.ndim == 5 else images
