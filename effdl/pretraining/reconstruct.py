"""The objective of autoencoders: the image that a decoder makes of the features is near the one that was meant."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from effdl.data.build import Data
from effdl.data.loader import normalize
from effdl.models.features import feature_width
from effdl.pretraining.decoder import decoder_of


class _Reconstruct(nn.Module):
    """Mean squared error of ``decoder(features)``, of normalized pixels: about 1 for a decoder that knows nothing.

    Args:
        shape: (C, H, W) of an image.
        mean, std: of the pixels per channel, by which images are normalized.
    """

    collapses = False  # all embeddings the same make it large

    def __init__(
        self, shape: tuple[int, int, int], decoder: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.shape, self.decoder, self.mean, self.std = shape, decoder, mean, std

    def forward(self, images: Tensor, targets: Tensor, features: Tensor) -> Tensor:
        """The loss; targets are the images that are meant (n, C, H, W), 0 to 255 (others: `images`)."""
        meant = normalize(targets, self.mean, self.std) if targets.shape == images.shape else images
        return F.mse_loss(self.decoder(features), meant)

    def draw(self, model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        """The images themselves, and what the decoder makes of their features."""
        return images, self.decoder(model(images))

    def embed(self, features: Tensor) -> Tensor:
        """The features themselves (n, D)."""
        return features


def reconstruction(model: nn.Module, data: Data, channels: int) -> Callable[[nn.Module], _Reconstruct]:
    """What makes the objective of the trunk of a model; `channels` are the decoder's, see `decoder_of`."""
    shape, width = data.input_shape, feature_width(model)
    return lambda trunk: _Reconstruct(shape, decoder_of(trunk, shape, width, channels), data.mean, data.std)


def corrupted(noise: float, masked: float) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """What makes of images noisy ones, and of the images themselves the targets.

    Args:
        noise: standard deviation of Gaussian noise, as part of the range of pixels.
        masked: part of the pixels that are set to zero, in all channels.
    """

    def corrupt(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        noisy = images.float()
        if noise:
            noisy = (noisy + 255 * noise * torch.randn_like(noisy)).clamp_(0, 255)
        if masked:
            noisy = noisy * (torch.rand_like(noisy[:, :1]) >= masked)
        return noisy, images

    return corrupt
