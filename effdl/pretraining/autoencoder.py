"""Latent autoencoder: the features are enough to draw the image again."""

from torch import nn

from effdl.config.types import Count, Positive
from effdl.pretraining.reconstruct import corrupted, reconstruction
from effdl.pretraining.trunk import pretrain
from effdl.training.trainer import Trainer


def autoencoder(
    model: nn.Module,
    trainer: Trainer,
    *,
    epochs: Count,
    batch_size: Count | None = None,
    lr_scale: Positive = 1.0,
    channels: Count = 16,
) -> nn.Module:
    """Minimize the squared error of what a decoder makes of the features, which are fewer than the pixels.

    Hinton & Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks". The decoder of an MLP
    mirrors it, that of a convolutional network upsamples; it is thrown away afterwards.

    Args:
        channels: of a convolutional decoder's maps of full size; with every halving twice as many.
    """
    how = {"epochs": epochs, "batch_size": batch_size, "lr_scale": lr_scale}
    return pretrain(model, trainer, reconstruction(model, trainer, channels), corrupted(0.0, 0.0), **how)
