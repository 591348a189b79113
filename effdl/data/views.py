"""Some images of a data set, and what augmentation makes of them, for people to look at."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from effdl.data.loader import batches
from effdl.data.source import Images
from effdl.data.split import shuffled_by_class

_CPU = torch.device("cpu")


def examples(images: Images, count: int, seed: int) -> Images:
    """``count`` images (all, if there are fewer) in the order of their labels: one of each class, then a second one.

    Which images, and with more classes than images which classes, is drawn with ``seed``.
    """
    labels, generator = images.labels.cpu(), torch.Generator().manual_seed(seed)
    by_class = shuffled_by_class(labels, generator)
    ordered = labels[by_class]
    place_in_class = torch.arange(len(labels)) - torch.searchsorted(ordered, ordered)
    turn_of_class = torch.randperm(int(labels.max()) + 1, generator=generator)
    turns = place_in_class * len(turn_of_class) + turn_of_class[ordered]
    chosen = by_class[turns.argsort()[:count].sort().values]  # still by class
    return images.select(chosen)


def pixels_of(images: Images) -> Tensor:
    """All images as they are measured, without augmentation: uint8 (N, C, H, W)."""
    return next(batches(images, len(images), order=None, device=_CPU, drop_last=False, train=False))[0]


def augmented(images: Images, augment: Sequence[Callable], views: int | None, seed: int) -> Tensor:
    """Each image ``views`` times as training sees it, uint8 (N, views, C, H, W): all N are one batch.

    Args:
        augment: functions as in `effdl.data.augment`, in their order, or one as in `effdl.data.random_views`.
        views: None: as many as one batch has of each image.
        seed: of torch's global generator, from which they draw.
    """
    torch.manual_seed(seed)
    found: list[Tensor] = []
    while len(found) < (views or 1):
        batch, targets = next(batches(images, len(images), order=None, device=_CPU, drop_last=False, train=True))
        for change in augment:
            batch, targets = change(batch, targets)
        batch = batch.round().clamp(0, 255).to(torch.uint8)
        found += [batch] if batch.ndim == 4 else batch.unbind(1)
    return torch.stack(found[:views], dim=1)
