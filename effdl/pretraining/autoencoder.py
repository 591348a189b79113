"""Latent autoencoder: the features are enough to draw the image again."""

from torch import nn

from effdl.config.types import Count
from effdl.data.build import Data
from effdl.pretraining.method import Pretext
from effdl.pretraining.reconstruct import corrupted, reconstruction


def autoencoder(
    model: nn.Module,
    data: Data,
    *,
    channels: Count = 16,
) -> Pretext:
    """Minimize the squared error of what a decoder makes of the features, which are fewer than the pixels.

    Hinton & Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks". The decoder of an MLP
    mirrors it, that of a convolutional network upsamples; it is thrown away afterwards.

    Args:
        channels: of a convolutional decoder's maps of full size; with every halving twice as many.
    """
    return Pretext(reconstruction(model, data, channels), corrupted(0.0, 0.0))
