"""Images that are decoded from their files at every access, for data sets that do not fit in memory."""

import math
import os
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from effdl.data.image_files import opened
from effdl.data.pixels import Ranges, eight_bits

_Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels, as in PIL


@dataclass(frozen=True, eq=False)
class StreamedImages:
    """Square images of one size, decoded on demand from the ``files`` (paths relative to ``root``).

    Without a seed, the centre square of an image is kept, its side ``centre`` times the image's shorter one;
    with a seed and ``random_crop``, a random box. Either is then resized to ``image_size``.
    """

    root: str
    files: tuple[str, ...]
    channels: int
    image_size: int
    workers: int  # number of decoding processes; 0: decode in this process
    centre: float = 1.0
    random_crop: bool = False
    ranges: Ranges = field(default_factory=dict)  # of deep pixels
    orient: bool = False  # turn images upright as their EXIF data say

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, indices: Tensor) -> "StreamedImages":
        return replace(self, files=tuple(self.files[i] for i in indices.tolist()))

    def decode(self, index: int, seed: int | None = None) -> Tensor:
        """Image ``index`` as uint8 (C, image_size, image_size); raises UserError if its file cannot be read."""
        from PIL import Image

        with opened(os.path.join(self.root, self.files[index])) as file:
            image = eight_bits(file, self.channels, self.ranges, orient=self.orient)
        if self.random_crop and seed is not None:
            box = random_box(*image.size, torch.Generator().manual_seed(seed))
        else:
            box = centre_box(*image.size, self.centre)
        resized = image.resize((self.image_size, self.image_size), Image.Resampling.BILINEAR, box)
        pixels = torch.from_numpy(np.array(resized))
        return pixels[None] if self.channels == 1 else pixels.permute(2, 0, 1).contiguous()


def centre_box(width: int, height: int, centre: float) -> _Box:
    """The centre square whose side is ``centre`` times the shorter side: resizing, then cropping, in one step."""
    side = centre * min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def random_box(width: int, height: int, generator: torch.Generator) -> _Box:
    """A box of 8 to 100 % of the area and aspect ratio 3/4 to 4/3 (Szegedy et al. 2015, section 6).

    As in torchvision's RandomResizedCrop, the centre square is taken when ten draws do not fit.
    """
    for _ in range(10):
        area, aspect, x, y = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
        area = (0.08 + 0.92 * area) * width * height
        aspect = math.exp(math.log(3 / 4) + aspect * math.log(16 / 9))  # log-uniform
        box_width, box_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < box_width <= width and 0 < box_height <= height:
            left, top = int(x * (width - box_width + 1)), int(y * (height - box_height + 1))
            return left, top, left + box_width, top + box_height
    return centre_box(width, height, 1.0)


def default_workers() -> int:
    """One decoding process per CPU that this process may use, at most 16; 0 on a single CPU."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cpus, 16) if cpus > 1 else 0
