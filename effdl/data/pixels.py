"""From an opened image file to 8 bits per channel, grey or RGB.

Images of 8 bits have a scale that all programs share. *Deep* ones, of 16 or 32 bits or floats, have none: their values
may be 0 to 1, 0 to 4,095 or -1,000 to 3,000. All deep images of one type in a data set get one range, which becomes 0
to 255: an image never has a scale of its own.
"""

import warnings
from collections.abc import Mapping

import numpy as np

Ranges = Mapping[str, tuple[float, float]]  # for each type of deep pixels: what becomes 0, and what becomes 255

RULE = "2"  # of what this module does to pixels: decoded images are kept with it, and read by no other rule
_UPRIGHT = {  # EXIF's orientation, and Pillow's name of the way back
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_ORIENTATION = 0x0112
# Pillow warns of images from 89 million pixels on, and refuses those of 179 million; damaged EXIF data harm no pixel
warnings.filterwarnings("ignore", message="Image size .* could be decompression bomb")
warnings.filterwarnings("ignore", message="Corrupt EXIF data")


def eight_bits(image, channels: int, ranges: Ranges, *, orient: bool):
    """An opened image as 8-bit grey (1 channel) or RGB (3), where it is transparent, black.

    Args:
        image: of Pillow, just opened.
        ranges: of deep images, see `full_range`.
        orient: turn it upright as its EXIF data say.

    Raises:
        ValueError: a deep image without a range, or one that lies far outside of it.
    """
    from PIL import Image

    kind, values = deep_kind(image), None
    if kind is not None:
        values = deep_values(image)
        if kind not in ranges:
            raise ValueError(f"it has {kind} (mode {image.mode}), whose range is not known (allowed: 8 bits)")
        plain = Image.fromarray(scaled(values, *ranges[kind]))
    else:
        plain = _opaque(image)
    if orient:
        image.load()  # the EXIF data of some formats come last, and TIFF files are turned as they are loaded
        if way := _UPRIGHT.get(_orientation(image)):
            plain = plain.transpose(Image.Transpose[way])
    return plain.convert("L" if channels == 1 else "RGB")


def deep_kind(image) -> str | None:
    """The type of an image's pixels if they have more than 8 bits, else None."""
    if image.mode == "F":
        return "floats"
    return "integers of 16 or 32 bits" if image.mode.startswith("I") else None


def is_deep_color(image) -> bool:
    """Whether an image, just opened, has several channels of 16 bits, of which Pillow reads the upper 8."""
    return deep_kind(image) is None and ";16" in _raw_mode(image)


def deep_values(image) -> np.ndarray:
    """The float64 (H, W) values of a deep image, just opened, as they are in its file.

    Raises:
        ValueError: some are no finite numbers.
    """
    unsigned = "I;32" in (raw := _raw_mode(image)) and "S" not in raw  # Pillow has signed ones only
    values = np.asarray(image)
    if unsigned:
        values = values.view(np.uint32)
    if not np.isfinite(values).all():
        raise ValueError(f"it has pixels that are no finite numbers (mode {image.mode})")
    return values.astype(np.float64)


def full_range(kind: str, low: float, high: float) -> tuple[float, float]:
    """What becomes 0, and what becomes 255, if the pixels of a type lie in ``low`` to ``high`` in a whole data set.

    Integers that are not negative: 0 to the largest number of the bits that they use, at least 8; so 12 bits in files
    of 16 keep their detail, and 8 bits in them their values. Floats that are not negative: 0 to 1 or 0 to 255, if they
    reach into the upper half of that. All others: from the lowest to the highest.
    """
    if low >= 0 and kind != "floats":
        return 0.0, float(2 ** max(8, int(high).bit_length()) - 1)
    for full in (1.0, 255.0):
        if low >= 0 and full / 2 <= high <= full:
            return 0.0, full
    return low, high if high > low else low + 1


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """``values`` as uint8: ``low`` becomes 0 and ``high`` 255; what lies a little outside is clipped.

    Raises:
        ValueError: they lie outside by more than the range is wide, so they have another unit.
    """
    width = high - low
    if values.min() < low - width or values.max() > high + width:
        found = f"{values.min():g} to {values.max():g}"
        raise ValueError(f"its pixels are {found}, far outside of those of the other images, {low:g} to {high:g}")
    return np.rint(((values - low) * (255 / width)).clip(0, 255)).astype(np.uint8)


def _opaque(image):
    """An image of 8 bits, in a mode that converts to both grey and RGB, with black for what is transparent."""
    from PIL import Image

    if image.mode == "LAB":
        return image.convert("RGB")
    if image.has_transparency_data:
        layer = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    return image


def _raw_mode(image) -> str:
    """What Pillow calls the layout of the pixels in the file; empty where a library decodes them all."""
    tiles = getattr(image, "tile", None)
    return str(tiles[0].args) if tiles else ""


def _orientation(image) -> int:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # of a reader of damaged data
        return 1
