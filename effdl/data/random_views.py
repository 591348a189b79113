"""Random views of images, which self-supervised methods compare.

Functions ``(images, targets, *, options) -> (views, targets)`` like augmentations; views: float (n, views, C, H, W), in
0..255 units. One draw per image and view, all views of a batch at once, on the images' device.
"""

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from effdl.config.types import Count, Share, UnitInterval
from effdl.data.augment import random_boxes

_Area = Annotated[float, Field(gt=0, le=1)]
_Views = Annotated[int, Field(ge=2, le=64)]
_Degrees = Annotated[float, Field(ge=0, le=180)]
_RATIO = math.log(4 / 3)  # of the sides of a crop, at most, as in Szegedy et al. 2015
_JITTERED = 0.8  # of the views have their colours changed
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_YIQ = (_LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


def random_views(
    images: Tensor,
    targets: Tensor,
    *,
    flip: bool,
    count: _Views = 2,
    size: Count | None = None,
    crop: _Area | None = None,
    rotate: _Degrees | None = None,
    color: UnitInterval = 0.5,
    grayscale: UnitInterval = 0.2,
    blur: UnitInterval | None = None,
    erase: Share | None = None,
) -> tuple[Tensor, Tensor]:
    """Some views of each image (Chen et al. 2020, "A Simple Framework for Contrastive Learning", appendix A).

    A part of the image, resized to its whole; mirrored; other colours or gray; blurred. Images that may not be mirrored
    (digits) are cropped less, rotated, and a box of them is erased.

    Small views (Caron et al. 2020, "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments",
    section 3.2) cost by their area; a crop is resized to them in one step.

    Args:
        images: uint8 or float (n, C, H, W), in 0..255 units.
        count, size: views of each image, and their side; None: as large as the images.
        flip: mirror half of the views.
        crop: smallest area of a crop, as part of the image; None: 0.2, or 0.5 without `flip`.
        rotate: largest angle; None: 0, or 15 without `flip`.
        color: strength of the change of colours of 0.8 of the views: 0.8 of it for brightness, contrast and
            saturation, 0.2 for the hue. Of images without three channels only brightness and contrast change.
        grayscale: part of the views that lose their colours.
        blur: part of the views that are blurred; None: half of those larger than 64 pixels.
        erase: largest area of the box that is set to zero, as part of the image; None: none, or 0.1 without `flip`.

    Returns:
        (n, count, C, size, size), and the targets as they are.
    """
    _, channels, height, width = images.shape
    height, width = (size or height), (size or width)
    crop = crop or (0.2 if flip else 0.5)
    rotate = (0.0 if flip else 15.0) if rotate is None else rotate
    blur = (0.5 if width > 64 else 0.0) if blur is None else blur
    erase = (None if flip else 0.1) if erase is None else erase
    views = images.float().repeat(count, 1, 1, 1)
    shape = [len(views), channels, height, width]
    grid = F.affine_grid(_crops(views, crop, flip, rotate), shape, align_corners=False)
    views = F.grid_sample(views, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    views = _recolored(views, color, grayscale)
    if blur:
        views = _blurred(views, blur)
    if erase:
        side = (erase * torch.rand(len(views), device=views.device)).sqrt()
        inside, _ = random_boxes(views, (height * side).long(), (width * side).long())
        views = views.masked_fill(inside, 0)
    return views.unflatten(0, (count, -1)).transpose(0, 1), targets  # views of one kind lie together


def _crops(views: Tensor, smallest: float, flip: bool, degrees: float) -> Tensor:
    """Maps (N, 2, 3) from the coordinates of a view to those of its image, both from -1 to 1."""
    area, ratio, x, y, angle, mirrored = torch.rand(6, len(views), device=views.device)
    area, ratio = smallest + (1 - smallest) * area, torch.exp(_RATIO * (2 * ratio - 1))
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    shift_x, shift_y = (1 - width) * (2 * x - 1), (1 - height) * (2 * y - 1)
    angle = math.radians(degrees) * (2 * angle - 1)
    sign = torch.where(mirrored < 0.5, -1.0, 1.0) if flip else torch.ones_like(mirrored)
    cos, sin = angle.cos(), angle.sin()
    first = torch.stack([sign * width * cos, -height * sin, shift_x], 1)
    second = torch.stack([sign * width * sin, height * cos, shift_y], 1)
    return torch.stack([first, second], 1)


def _recolored(views: Tensor, strength: float, grayscale: float) -> Tensor:
    """Views with other colours, all changes of a view as one affine map of its pixels.

    Brightness, contrast around the mean luminance, saturation and hue (a turn in the plane of chroma).
    """
    count, channels = views.shape[:2]
    device = views.device
    draws = torch.rand(6, count, device=device)
    change = torch.where(draws[4] < _JITTERED, strength, 0.0)
    brightness, contrast, saturation = 1 + 0.8 * change * (2 * draws[:3] - 1)
    if channels == 3:
        saturation = torch.where(draws[5] < grayscale, 0.0, saturation)
        hue = 2 * math.pi * 0.2 * change * (2 * draws[3] - 1)
        colors = _chroma(saturation, hue)
        luma = torch.tensor(_LUMA, device=device)
    else:
        colors = torch.eye(channels, device=device).expand(count, -1, -1)
        luma = torch.full((channels,), 1 / channels, device=device)
    scale = brightness * contrast
    mean = views.mean((2, 3)) @ luma  # hue and saturation leave the luminance as it is
    shift = (brightness * (1 - contrast) * mean).view(-1, 1, 1)
    return torch.baddbmm(shift, scale.view(-1, 1, 1) * colors, views.flatten(2)).clamp_(0, 255).view_as(views)


def _chroma(saturation: Tensor, hue: Tensor) -> Tensor:
    """Maps of RGB (N, 3, 3) that scale the chroma by `saturation` (N,) and turn it by `hue` (N,), in radians."""
    yiq = torch.tensor(_YIQ, device=hue.device)
    turn = torch.zeros(len(hue), 3, 3, device=hue.device)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = saturation * hue.cos()
    turn[:, 2, 1] = saturation * hue.sin()
    turn[:, 1, 2] = -turn[:, 2, 1]
    return torch.linalg.inv(yiq) @ turn @ yiq


def _blurred(views: Tensor, part: float) -> Tensor:
    """Blur a part of the views by Gaussians of a deviation from 0.1 to 2 pixels, over a tenth of the image."""
    count, channels, height, width = views.shape
    reach = max(1, width // 20)
    chosen, sigma = torch.rand(2, count, 1, device=views.device)
    sigma = torch.where(chosen < part, 0.1 + 1.9 * sigma, 0.01)
    at = torch.arange(-reach, reach + 1, device=views.device)
    kernel = torch.exp(-((at / sigma) ** 2) / 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None]
    padded = F.pad(views, 4 * (reach,), mode="reflect").view(1, count * channels, height + 2 * reach, -1)
    rows = F.conv2d(padded, kernel[..., None, :], groups=count * channels)
    return F.conv2d(rows, kernel[..., None], groups=count * channels).view_as(views)
