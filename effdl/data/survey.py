"""What the files of a data set hold, found out before they are decoded: their sizes, types and ranges of pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from effdl.data.image_files import counted, for_all, opened, shown
from effdl.data.pixels import Ranges, deep_kind, deep_values, full_range, is_deep_color
from effdl.utils.errors import UserError

_SAMPLE = 64  # pixels of an image that stand for all of it where the spread of a data set is looked at
_MIDDLE = (0.1, 0.9)  # quantiles: the pixels between them are those that are no outliers
_TOO_FEW = 4  # of 256 values, for those
_UPPER_BYTE = 64  # colors of 16 bits whose upper byte stays below this use at most 14 of them


@dataclass(frozen=True)
class _Header:
    """What an image file says of itself before it is decoded."""

    size: tuple[int, int]  # width and height in pixels
    deep: str | None  # see `deep_kind`
    deep_color: bool
    transparent: bool
    frames: bool  # more than one


def read_headers(paths: Sequence[str], workers: int) -> list[_Header]:
    """The headers of all files, by threads.

    Raises:
        UserError: one is of no image.
    """
    return for_all(_header, paths, workers, "Reading headers")


def ranges_of(paths: Sequence[str], headers: Sequence[_Header], workers: int) -> tuple[Ranges, list[str]]:
    """The range of every type of deep pixels in these files, by all of their values, and a sentence on each.

    Raises:
        UserError: an image cannot be read, or is of colors of which too few bits can be read.
    """
    ranges, notes = {}, []
    for kind in sorted({header.deep for header in headers if header.deep}):
        files = [path for path, header in zip(paths, headers, strict=True) if header.deep == kind]
        lows, highs, samples = zip(*for_all(_extent, files, workers, "Measuring pixels"), strict=True)
        low, high = ranges[kind] = full_range(kind, min(lows), max(highs))
        notes.append(
            f"{counted(files, 'image')}, of {kind}, hold {min(lows):.6g} to {max(highs):.6g}: in all of them,"
            f" {low:.6g} to {high:.6g} becomes 0 to 255"
        )
        first, last = np.quantile(np.concatenate(samples), _MIDDLE)
        if (values := round((last - first) * 255 / (high - low)) + 1) < _TOO_FEW:
            notes.append(
                f"most of these pixels are {first:.6g} to {last:.6g}, and become {values} of 256 values: clip the"
                " outliers in the files if the detail matters"
            )
    return ranges, notes + _on_deep_colors(paths, headers, workers)


def notes_on(paths: Sequence[str], headers: Sequence[_Header]) -> list[str]:
    """A sentence on what else of these files is left out."""
    transparent = [path for path, header in zip(paths, headers, strict=True) if header.transparent]
    frames = [path for path, header in zip(paths, headers, strict=True) if header.frames]
    notes = [f"{counted(transparent, 'image')}, may be transparent: what is becomes black"] if transparent else []
    return notes + ([f"{counted(frames, 'image')}, of several frames: the first is read"] if frames else [])


def _header(path: str) -> _Header:
    with opened(path) as image:
        deep, color = deep_kind(image), is_deep_color(image)
        transparent = image.has_transparency_data and not deep
        return _Header(image.size, deep, color, transparent, getattr(image, "is_animated", False))  # the last one seeks


def _extent(path: str) -> tuple[float, float, np.ndarray]:
    """The lowest and the highest value of a deep image, and a sample of all."""
    with opened(path) as image:
        values = deep_values(image).ravel()
    return values.min(), values.max(), values[:: max(1, values.size // _SAMPLE)]


def _on_deep_colors(paths: Sequence[str], headers: Sequence[_Header], workers: int) -> list[str]:
    files = [path for path, header in zip(paths, headers, strict=True) if header.deep_color]
    if not files:
        return []
    if max(for_all(_brightest, files, workers, "Measuring pixels")) < _UPPER_BYTE:
        raise UserError(
            f"{shown(files[0])} has colors of 16 bits, of which the upper 8 can be read, and those are below"
            f" {_UPPER_BYTE} in all such images (allowed: colors that use all 16 bits, and colors of 8 bits)"
        )
    return [f"{counted(files, 'image')}, of 16 bits per color: the upper 8 are read"]


def _brightest(path: str) -> int:
    """The highest value of any channel of an image, as Pillow reads it."""
    with opened(path) as image:
        return int(np.asarray(image).max())
