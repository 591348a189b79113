"""The results of data sources: labelled images, in memory or streamed from files."""

from dataclasses import dataclass

import torch
from torch import Tensor

from effdl.data.streamed import StreamedImages


@dataclass(frozen=True, eq=False)
class Images:
    """``images``: uint8 (N, C, H, W) in memory, or streamed from N files; ``labels``: int64 (N,), 0 to classes - 1."""

    images: Tensor | StreamedImages
    labels: Tensor

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise ValueError(f"{len(self.images)} images but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def channels(self) -> int:
        return self.images.channels if isinstance(self.images, StreamedImages) else self.images.shape[1]

    @property
    def image_size(self) -> int:
        """Height and width in pixels."""
        return self.images.image_size if isinstance(self.images, StreamedImages) else self.images.shape[-1]

    @property
    def centre(self) -> float:
        """Side of the centre square that is kept of an image, as part of its shorter side."""
        return self.images.centre if isinstance(self.images, StreamedImages) else 1.0

    @property
    def nbytes(self) -> int:
        """Bytes in memory; streamed images have none there."""
        return self.labels.nbytes + (0 if isinstance(self.images, StreamedImages) else self.images.nbytes)

    def select(self, indices: Tensor) -> "Images":
        """The images at ``indices`` (int64), in that order."""
        return Images(self.images[indices], self.labels[indices])

    def to(self, device: torch.device) -> "Images":
        """The same images held on ``device``; streamed images are not moved."""
        if isinstance(self.images, StreamedImages):
            return self
        return Images(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as published: its training and test images and the name of each label."""

    train: Images
    test: Images
    classes: tuple[str, ...]
