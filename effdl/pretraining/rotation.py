"""Rotation prediction (RotNet): say by which quarter turn an image was rotated."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from effdl.data.build import Data
from effdl.models.features import feature_width
from effdl.pretraining.method import Pretext

_TURNS = 4


def rotation(model: nn.Module, data: Data) -> Pretext:
    """Minimize the cross entropy of a linear classifier of the four quarter turns, all four of every image in a batch.

    Gidaris et al. 2018, "Unsupervised Representation Learning by Predicting Image Rotations", equations 2 and 3. It
    learns nothing where images have no upright, and costs four passes.
    """
    width = feature_width(model)
    return Pretext(lambda _: _Turns(data.input_shape, width), _turned)


def _turned(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The four quarter turns of images (n, C, S, S), as views (n, 4, C, S, S)."""
    return torch.stack([torch.rot90(images, turns, (2, 3)) for turns in range(_TURNS)], 1), targets


class _Turns(nn.Module):
    """The cross entropy of a linear classifier of quarter turns."""

    collapses = False  # all embeddings the same make it large

    def __init__(self, shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.shape, self.classifier = (_TURNS, *shape), nn.Linear(width, _TURNS)

    def forward(self, images: Tensor, targets: Tensor, features: Tensor) -> Tensor:
        turns = torch.arange(_TURNS, device=features.device).repeat_interleave(len(features) // _TURNS)
        return F.cross_entropy(self.classifier(features), turns)

    def embed(self, features: Tensor) -> Tensor:
        """The features themselves (n, D)."""
        return features
