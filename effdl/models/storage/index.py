"""What the index says of a tensor, checked, and how many bytes it takes of which stream."""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

WIDEST_GRID = 8
LARGEST_PALETTE = 256
_LONGEST = 1 << 48  # elements; no machine holds more
_OTHERS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_OTHERS += (torch.uint16, torch.uint32, torch.uint64, torch.complex32, torch.complex64, torch.complex128)
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in vars(torch).values()
    if isinstance(dtype, torch.dtype) and (dtype.is_floating_point or dtype in _OTHERS)
}


@dataclass(frozen=True)
class Entry:
    """A tensor in the index.

    Args:
        sparse: a mask says which elements are stored.
        palette: number of its values, if indices are stored.
        grid: bits of the stored codes, and dtype and shape of the scale.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    sparse: bool
    palette: int | None = None
    grid: tuple[int, torch.dtype, tuple[int, ...]] | None = None

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize

    @property
    def kind(self) -> str:
        """The kind of its encoding, in words."""
        values = "grid" if self.grid else "palette" if self.palette else ""
        return f"{'sparse' if self.sparse else 'dense'} {values}".strip()

    @property
    def bits(self) -> int:
        """Bits per stored value, before entropy coding."""
        if self.grid:
            return self.grid[0]
        return palette_bits(self.palette) if self.palette else 8 * self.dtype.itemsize

    @property
    def table(self) -> int:
        """Number of the scales or of the codebook's values that are stored beside the codes or indices."""
        return math.prod(self.grid[2]) if self.grid else self.palette or 0

    def parts(self, stored: int) -> dict[str, int]:
        """The bytes, if any, that the tensor takes of each stream when so many of its elements are stored."""
        if self.grid:
            bits, dtype, shape = self.grid
            found = {**_plain(dtype, math.prod(shape)), f"symbols.{bits}": stored}
        elif self.palette:
            found = {**_plain(self.dtype, self.palette), f"symbols.{self.bits}": stored}
        else:
            found = _plain(self.dtype, stored)
        if self.sparse:
            found["mask"] = -(-self.numel // 8)
        return {stream: count for stream, count in found.items() if count}


def entry_of(row: list) -> Entry:
    """The entry of the index without the tensor's name.

    Raises:
        ValueError, TypeError: it describes no tensor.
    """
    dtype, shape, kind, *values = row
    if kind not in ("dense", "sparse"):
        raise ValueError(f"{kind} is no kind of tensor")
    entry = Entry(_dtype_of(dtype), _shape_of(shape), kind == "sparse")
    match values:
        case []:
            return entry
        case ["palette", size] if type(size) is int and 0 < size <= LARGEST_PALETTE:
            return Entry(entry.dtype, entry.shape, entry.sparse, palette=size)
        case ["grid", bits, scale_dtype, scale_shape] if type(bits) is int and 0 < bits <= WIDEST_GRID:
            grid = bits, _dtype_of(scale_dtype), _shape_of(scale_shape)
            if grid[1].is_floating_point and _broadcasts(grid[2], entry.shape):
                return Entry(entry.dtype, entry.shape, entry.sparse, grid=grid)
    raise ValueError(f"{values} describes no values")


def palette_bits(size: int) -> int:
    """Number of bits of the indices into a palette."""
    return max(1, (size - 1).bit_length())


def dtype_name(dtype: torch.dtype) -> str:
    """The dtype as it is named in files."""
    return str(dtype).removeprefix("torch.")


@cache
def planes(dtype: torch.dtype) -> tuple[str, ...]:
    """The streams of the bytes of a floating-point dtype, the lowest first."""
    return tuple(f"{dtype_name(dtype)}.{plane}" for plane in range(dtype.itemsize))


def _dtype_of(name: Any) -> torch.dtype:
    """The inverse of `dtype_name`.

    Raises:
        ValueError, TypeError: there is none, or none that is stored.
    """
    if name not in _DTYPES:
        raise ValueError(f"{name} is not a dtype")
    return _DTYPES[name]


def _plain(dtype: torch.dtype, count: int) -> dict[str, int]:
    if dtype.is_floating_point:
        return dict.fromkeys(planes(dtype), count)
    return {"bytes": count * dtype.itemsize}


def _shape_of(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < _LONGEST for size in shape):
        raise ValueError(f"{shape} is not a shape")
    if len(shape) > 64 or math.prod(shape) >= _LONGEST:
        raise ValueError(f"a tensor of {len(shape)} dimensions is too large")
    return tuple(shape)


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether a tensor of a shape can be expanded to another one, by the rules of NumPy."""
    ends = zip(reversed(shape), reversed(target), strict=False)
    return len(shape) <= len(target) and all(size in (1, other) for size, other in ends)
