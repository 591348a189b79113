"""Denoising autoencoder: draw the image again of which only a noisy or incomplete one was seen."""

from torch import nn

from effdl.config.types import Count, Fraction, NonNegative
from effdl.data.build import Data
from effdl.pretraining.method import Pretext
from effdl.pretraining.reconstruct import corrupted, reconstruction


def denoising(
    model: nn.Module,
    data: Data,
    *,
    channels: Count = 16,
    noise: NonNegative = 0.1,
    masked: Fraction = 0.25,
) -> Pretext:
    """Minimize the squared error of what a decoder makes of the features of a corrupted image.

    Vincent et al. 2008, "Extracting and composing robust features with denoising autoencoders", section 2.3.

    Args:
        channels: of a convolutional decoder's maps of full size; with every halving twice as many.
        noise: standard deviation of Gaussian noise, as part of the range of pixels.
        masked: part of the pixels that are set to zero.
    """
    return Pretext(reconstruction(model, data, channels), corrupted(noise, masked))
