"""Denoising autoencoder: draw the image again of which only a noisy or incomplete one was seen."""

from torch import nn

from effdl.config.types import Count, Fraction, NonNegative, Positive
from effdl.pretraining.reconstruct import corrupted, reconstruction
from effdl.pretraining.trunk import pretrain
from effdl.training.trainer import Trainer


def denoising(
    model: nn.Module,
    trainer: Trainer,
    *,
    epochs: Count,
    batch_size: Count | None = None,
    lr_scale: Positive = 1.0,
    channels: Count = 16,
    noise: NonNegative = 0.1,
    masked: Fraction = 0.25,
) -> nn.Module:
    """Minimize the squared error of what a decoder makes of the features of a corrupted image.

    Vincent et al. 2008, "Extracting and composing robust features with denoising autoencoders", section 2.3.

    Args:
        channels: of a convolutional decoder's maps of full size; with every halving twice as many.
        noise: standard deviation of Gaussian noise, as part of the range of pixels.
        masked: part of the pixels that are set to zero.
    """
    how = {"epochs": epochs, "batch_size": batch_size, "lr_scale": lr_scale}
    return pretrain(model, trainer, reconstruction(model, trainer, channels), corrupted(noise, masked), **how)
