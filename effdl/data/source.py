"""The results of data sources: labelled images, in memory or streamed from files."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from effdl.data.pixels import Ranges
from effdl.data.streamed import StreamedImages
from effdl.utils.errors import UserError

UNLABELLED = -1  # the label of an image without one


@dataclass(frozen=True, eq=False)
class Images:
    """``images``: uint8 (N, C, H, W) in memory, or streamed from N files; ``labels``: int64 (N,), 0 to classes - 1.

    Images without a label have `UNLABELLED` in its place.
    """

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

    @property
    def upright(self) -> bool:
        """Whether images are turned upright as their EXIF data say; photos beside images in memory are."""
        return self.images.orient if isinstance(self.images, StreamedImages) else True

    def select(self, indices: Tensor) -> "Images":
        """The images at ``indices`` (int64), in that order."""
        return Images(self.images[indices], self.labels[indices])

    def unlabelled(self) -> "Images":
        """The same images without their labels."""
        return Images(self.images, torch.full_like(self.labels, UNLABELLED))

    def joined(self, other: "Images | None") -> "Images":
        """These images, then the others, if there are any; of one kind, streamed ones from one folder."""
        if other is None:
            return self
        labels = torch.cat([self.labels, other.labels])
        if isinstance(self.images, StreamedImages):
            return Images(replace(self.images, files=self.images.files + other.images.files), labels)
        return Images(torch.cat([self.images, other.images]), labels)

    def to(self, device: torch.device) -> "Images":
        """The same images held on ``device``; streamed images are not moved."""
        if isinstance(self.images, StreamedImages):
            return self
        return Images(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as published: its training and test images and the name of each label.

    ``val``: its validation images; None: they are held out of the training images, as ``dataset.val`` says.
    ``unlabelled``: images without labels (see `Images.unlabelled`), to learn from without them; None: there are none.
    ``ranges``: what became 0 and 255 of pixels of more than 8 bits (see `effdl.data.pixels`). ``notes``: sentences on
    what was left out or changed in reading it.
    """

    train: Images
    test: Images
    classes: tuple[str, ...]
    ranges: Ranges = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    val: Images | None = None
    unlabelled: Images | None = None


def check_source(source: Source, name: str) -> None:
    """Check what a function gave as a data set.

    Raises:
        UserError: names the data set, what is wrong with its images or labels, and what is allowed.
    """
    if not isinstance(source, Source):
        raise UserError(f"dataset={name}: it gives a {type(source).__name__} (allowed: effdl.Source)")
    splits = {"train": source.train, "test": source.test, "validation": source.val, "unlabelled": source.unlabelled}
    splits = {part: split for part, split in splits.items() if split is not None}
    for part, split in splits.items():
        images, labels, classes = split.images, split.labels, len(source.classes)
        if isinstance(images, Tensor):
            shape = tuple(images.shape)
            if images.dtype != torch.uint8 or images.dim() != 4 or shape[2] != shape[3]:
                found = f"{str(images.dtype).removeprefix('torch.')} {shape}"
                raise UserError(
                    f"dataset={name}: its {part} images are {found} (allowed: uint8, 0 to 255, of shape (N, C, S, S))"
                )
        if labels.dtype != torch.int64 or labels.dim() != 1:
            found = f"{str(labels.dtype).removeprefix('torch.')} {tuple(labels.shape)}"
            raise UserError(f"dataset={name}: its {part} labels are {found} (allowed: int64 of shape (N,))")
        if part == "unlabelled":
            _check_unlabelled(source.train, split, name)
        elif len(labels) and not 0 <= labels.min() <= labels.max() < classes:
            found = f"{labels.min()} to {labels.max()}"
            raise UserError(f"dataset={name}: its {part} labels are {found} (allowed: 0 to {classes - 1}, its classes)")
    if not len(source.train) or not len(source.test):
        raise UserError(f"dataset={name}: it has {len(source.train)} training and {len(source.test)} test images")
    if source.val is not None and not len(source.val):
        raise UserError(f"dataset={name}: it has 0 validation images (allowed: some, or None)")
    for part, split in splits.items():
        if (first := _shape(source.train)) != (other := _shape(split)):
            raise UserError(
                f"dataset={name}: training images are {first} and {part} images {other} (allowed: one shape)"
            )


def _check_unlabelled(train: Images, images: Images, name: str) -> None:
    """Refuse (UserError) labels of images that should have none, and images that cannot be joined to the others."""
    if labels := set(images.labels.tolist()) - {UNLABELLED}:
        raise UserError(f"dataset={name}: its unlabelled images have the label {min(labels)} (allowed: {UNLABELLED})")
    if isinstance(train.images, StreamedImages) != isinstance(images.images, StreamedImages):
        raise UserError(f"dataset={name}: of its training and unlabelled images some are streamed (allowed: all, none)")


def _shape(images: Images) -> str:
    return f"{images.channels}x{images.image_size}x{images.image_size}"
