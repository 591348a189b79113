"""Augmentations: functions ``(images, targets, *, options) -> (images, targets)`` on a batch on any device.

``images``: (N, C, H, W), uint8 or float, in 0..255 units. ``targets``: class indices, int64 (N,), below 0 without a
label, or class probabilities, float (N, K). **Each image gets its own draw**, from torch's global generator, which the
caller seeds.
"""

from collections.abc import Callable
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from effdl.config.types import Border, Count, Positive

_Batch = tuple[Tensor, Tensor]
_Magnitude = Annotated[int, Field(ge=0, le=30)]


def flip_crop(images: Tensor, targets: Tensor, *, flip: bool, pad: Border) -> _Batch:
    """Mirror half of the images left to right (if ``flip``), then crop each at random out of a border of ``pad`` zeros.

    The usual augmentation of CIFAR-10 (He et al. 2015, section 4.2), in one gather.
    """
    count, channels, height, width = images.shape
    device = images.device
    top, left = torch.randint(2 * pad + 1, (2, count, 1), device=device)
    mirrored = torch.rand(count, 1, device=device) < (0.5 if flip else 0.0)
    rows = top + torch.arange(height, device=device)
    columns = torch.arange(width, device=device)
    columns = torch.where(mirrored, 2 * pad + width - 1 - (left + columns), left + columns)
    pixels = (rows[:, :, None] * (width + 2 * pad) + columns[:, None, :]).view(count, 1, -1).expand(-1, channels, -1)
    padded = F.pad(images, (pad, pad, pad, pad)).flatten(2)
    return padded.gather(2, pixels).view_as(images), targets


def cutout(images: Tensor, targets: Tensor, *, size: Count) -> _Batch:
    """Set one square of ``size`` x ``size`` pixels to zero in each image (DeVries & Taylor 2017).

    Its centre is uniform over the image, so it may leave the image in part.
    """
    side = torch.full((len(images),), size, device=images.device)
    inside, _ = random_boxes(images, side, side)
    return images.masked_fill(inside, 0), targets


def mixup(images: Tensor, targets: Tensor, classes: int, *, alpha: Positive) -> _Batch:
    """Blend each image and its target with another of the batch: weights w and 1 - w, w from Beta(alpha, alpha).

    Zhang et al. 2018, equation 1. Returns float images and class probabilities (N, ``classes``).
    """
    weight = _beta(alpha, images)
    partner = torch.randperm(len(images), device=images.device)
    images = _blend(images.float(), partner, weight)
    return images, _blend(_probabilities(targets, classes), partner, weight)


def cutmix(images: Tensor, targets: Tensor, classes: int, *, alpha: Positive) -> _Batch:
    """Replace a box of each image by the same box of another; targets are blended by area (Yun et al. 2019).

    The box covers 1 - w of the image, w from Beta(alpha, alpha), its centre uniform over the image (their appendix
    A); a part outside of the image is clipped, and targets count the pixels inside. Returns class probabilities
    (N, ``classes``).
    """
    height, width = images.shape[2:]
    side = (1 - _beta(alpha, images)).sqrt()
    inside, area = random_boxes(images, (height * side).long(), (width * side).long())
    partner = torch.randperm(len(images), device=images.device)
    images = torch.where(inside, images[partner], images)
    return images, _blend(_probabilities(targets, classes), partner, 1 - area / (height * width))


def randaugment(images: Tensor, targets: Tensor, *, num_ops: Count, magnitude: _Magnitude) -> _Batch:
    """``num_ops`` random operations of one strength, 0 to 30, on each image (Cubuk et al. 2020), by torchvision."""
    from torchvision.transforms import v2

    return _one_by_one(v2.RandAugment(num_ops, magnitude), images), targets


def trivialaugment(images: Tensor, targets: Tensor) -> _Batch:
    """One random operation of random strength on each image (Müller & Hutter 2021), by torchvision."""
    from torchvision.transforms import v2

    return _one_by_one(v2.TrivialAugmentWide(), images), targets


def _one_by_one(transform: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Apply a torchvision transform to each image: on a batch it would draw once; its 0..255 range needs uint8."""
    return torch.stack([transform(image) for image in images.round().to(torch.uint8)])


def random_boxes(images: Tensor, height: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes of the given sizes (N,) in pixels around random centres, clipped at the border of the image.

    Returns a mask (N, 1, H, W), true inside the box, and the number of pixels inside (N,).
    """
    rows = _random_interval(len(images), images.shape[2], height)
    columns = _random_interval(len(images), images.shape[3], width)
    return (rows[:, None, :, None] & columns[:, None, None, :]), rows.sum(1) * columns.sum(1)


def _random_interval(count: int, length: int, size: Tensor) -> Tensor:
    """(count, length), true on an interval of ``size`` (count,) around a centre uniform over 0..length - 1."""
    start = torch.randint(length, (count,), device=size.device) - size // 2
    position = torch.arange(length, device=size.device)
    return (position >= start[:, None]) & (position < (start + size)[:, None])


def _beta(alpha: float, images: Tensor) -> Tensor:
    """One draw (N,) from Beta(alpha, alpha) per image."""
    concentration = torch.full((len(images),), alpha, device=images.device)
    return torch.distributions.Beta(concentration, concentration, validate_args=False).sample()  # no GPU sync


def _blend(values: Tensor, partner: Tensor, weight: Tensor) -> Tensor:
    """``weight`` (N,) times each row plus 1 - ``weight`` times its partner's."""
    return torch.lerp(values[partner], values, weight.view(-1, *[1] * (values.dim() - 1)))


def _probabilities(targets: Tensor, classes: int) -> Tensor:
    """Class probabilities (N, ``classes``); zeros for an image without a label, whose index is below 0."""
    if targets.dim() > 1:
        return targets
    return F.one_hot(targets.clamp(min=0), classes).float() * (targets >= 0)[:, None]
