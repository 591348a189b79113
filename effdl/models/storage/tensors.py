"""Encoding of a tensor into parts of streams: a mask, and values as bytes, integer codes or palette indices.

Tensors are decoded block by block: beside the result that takes memory of a fixed size.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from effdl.models.storage.index import LARGEST_PALETTE, WIDEST_GRID, Entry, dtype_name, palette_bits, planes
from effdl.nn.fake_quant import QuantGrid, bounds

Take = Callable[[str, int], np.ndarray]  # returns the next bytes of a stream
_BLOCK = 1 << 15  # elements: masks of blocks are whole bytes, and no operation is worth several threads


def split(tensor: Tensor, grid: QuantGrid | None = None) -> tuple[list, dict[str, bytes]]:
    """Encode a tensor: its entry in the index (dtype, shape, kind, encoding of values) and its part of each stream.

    Raises:
        ValueError: the tensor does not lie on the grid, bit for bit.
    """
    rows = _rows(tensor)
    if grid is not None:
        sparse, values, parts = _on_grid(tensor, grid)
    elif found := _in_palette(tensor.dtype, rows):
        sparse, values, parts = found
    else:
        kept = rows.any(axis=1)
        sparse = (len(rows) - kept.sum()) * rows.shape[1] * 8 > len(rows)
        values, parts = [], _plain(tensor.dtype, rows[kept] if sparse else rows)
    if sparse:
        parts = {"mask": np.packbits(rows.any(axis=1)).tobytes(), **parts}
    return [dtype_name(tensor.dtype), list(tensor.shape), "sparse" if sparse else "dense", *values], parts


def join(entry: Entry, take: Take) -> tuple[Tensor, QuantGrid | None]:
    """The inverse of `split`.

    Args:
        take: returns the next bytes of a stream.

    Raises:
        ValueError, LookupError: the entry does not fit the streams.
    """
    rows = np.zeros((entry.numel, entry.dtype.itemsize), np.uint8)
    grid = None
    if entry.grid:
        bits, dtype, shape = entry.grid
        scale = _take_plain(take, dtype, Entry(dtype, shape, sparse=False).numel)
        grid = QuantGrid(_tensor(scale, dtype, shape), bits)
    palette = _take_plain(take, entry.dtype, entry.palette) if entry.palette else None
    for start, kept, count in _blocks(entry, take):
        block = rows[start : start + _BLOCK]
        if grid is not None:
            codes = np.zeros(len(block), np.int16)
            codes[kept] = _alphabet(grid.bits)[take(f"symbols.{grid.bits}", count)]
            block[:] = _rows(_on_scale(torch.from_numpy(codes), grid.scale, entry.shape, start).to(entry.dtype))
        elif palette is not None:
            block[kept] = palette[take(f"symbols.{entry.bits}", count)]
        else:
            block[kept] = _take_plain(take, entry.dtype, count)
    if entry.dtype == torch.bool and rows.max(initial=0) > 1:
        raise ValueError("a truth value is neither 0 nor 1")
    return _tensor(rows, entry.dtype, entry.shape), grid


def count_stored(entry: Entry, take: Take) -> int:
    """Number of the elements of a tensor that are stored; takes its mask."""
    return sum(count for _, _, count in _blocks(entry, take)) if entry.sparse else entry.numel


def _blocks(entry: Entry, take: Take) -> Iterator[tuple[int, np.ndarray | slice, int]]:
    """Where each block of elements starts, which of its elements are stored, and how many."""
    for start in range(0, entry.numel, _BLOCK):
        length = min(_BLOCK, entry.numel - start)
        if entry.sparse:
            kept = np.unpackbits(take("mask", -(-length // 8)), count=length).view(bool)
            yield start, kept, int(np.count_nonzero(kept))
        else:
            yield start, slice(None), length


def _on_scale(codes: Tensor, scale: Tensor, shape: tuple[int, ...], start: int) -> Tensor:
    """``code * scale`` in the type of the scale, for a flat block of a tensor of this shape from element `start` on."""
    if scale.numel() != 1:
        position, index, inner = np.arange(start, start + len(codes)), 0, 1
        ahead = 1
        for size, of_scale in zip(reversed(shape), reversed(scale.shape), strict=False):
            if of_scale > 1:
                place = position // inner
                index = index + (place % size if inner * size < math.prod(shape) else place) * ahead
            inner, ahead = inner * size, ahead * of_scale
        scale = scale.reshape(-1).index_select(0, torch.from_numpy(index))
    return codes.to(scale.dtype) * scale.reshape(-1)


def _alphabet(bits: int) -> np.ndarray:
    """The codes of a grid, by symbol: the integers of `bits` bits in ascending order; with one bit, -1 and 1."""
    if type(bits) is not int or not 0 < bits <= WIDEST_GRID:
        raise ValueError(f"a grid of {bits} bits: 1 to {WIDEST_GRID} can be stored")
    low, high = bounds(bits, signed=True)
    return np.array([-1, 1] if bits == 1 else range(low, high + 1), np.int16)


def _on_grid(tensor: Tensor, grid: QuantGrid) -> tuple[bool, list, dict[str, bytes]]:
    weight, scale = tensor.detach().cpu(), grid.scale.detach().cpu()
    codes = (weight.double() / scale.double()).nan_to_num(nan=0.0).round().numpy().reshape(-1)  # 0/0: scale 0
    zeros, known = int((codes == 0).sum()), _alphabet(grid.bits)
    sparse = _as_sparse(zeros, len(codes), grid.bits == 1)
    stored = codes[codes != 0] if sparse else codes
    symbols = np.searchsorted(known, stored).clip(max=len(known) - 1)
    exact = np.where(np.abs(codes) <= 1 << grid.bits, codes, 0).astype(np.int16)
    again = torch.from_numpy(exact).reshape(weight.shape).to(scale.dtype) * scale.expand(weight.shape)
    if (known[symbols] != stored).any() or (_rows(again.to(weight.dtype)) != _rows(weight)).any():
        raise ValueError(f"not every weight is a code of {grid.bits} bits times the grid's scale, bit for bit")
    values = ["grid", grid.bits, dtype_name(scale.dtype), list(scale.shape)]
    return sparse, values, {**_plain(scale.dtype, _rows(scale)), **_symbols(symbols, grid.bits)}


def _in_palette(dtype: torch.dtype, rows: np.ndarray) -> tuple[bool, list, dict[str, bytes]] | None:
    """Floats as a palette and indices into it, if that takes less than 3/4 of their bytes.

    None if most values occur once: a small tensor then has few values by chance, not because the model shares them.
    """
    if not dtype.is_floating_point:
        return None
    width = rows.shape[1]
    patterns = rows.view(f"<u{width}").reshape(-1)
    if len(np.unique(patterns[: 16 * LARGEST_PALETTE])) > LARGEST_PALETTE + 1:
        return None
    palette, symbols = np.unique(patterns, return_inverse=True)
    zeros = int((patterns == 0).sum())
    if len(patterns) - zeros < 2 * np.count_nonzero(palette):
        return None
    costs_a_bit = palette_bits(len(palette) - 1) < palette_bits(len(palette))
    sparse = _as_sparse(zeros, len(rows), costs_a_bit)
    if sparse:
        palette, symbols = palette[1:], symbols[patterns != 0] - 1
    bits = palette_bits(len(palette))
    indexed, plain = len(symbols) * bits / 8 + len(palette) * width, len(symbols) * width
    if len(palette) > LARGEST_PALETTE or 4 * indexed >= 3 * plain:
        return None
    colors = palette.view(np.uint8).reshape(-1, width)
    return sparse, ["palette", len(palette)], {**_plain(dtype, colors), **_symbols(symbols, bits)}


def _as_sparse(zeros: int, numel: int, costs_a_bit: bool) -> bool:
    """Whether zeros are stored in a mask: if they are more than half of all elements, which then take less than a bit
    each, or if a symbol for zero would make all symbols a bit wider."""
    return 2 * zeros > numel or (zeros > 0 and costs_a_bit)


def _symbols(symbols: np.ndarray, bits: int) -> dict[str, bytes]:
    return {f"symbols.{bits}": symbols.astype(np.uint8).tobytes()}


def _plain(dtype: torch.dtype, rows: np.ndarray) -> dict[str, bytes]:
    """Byte i of all floats in stream i: the last one, with signs and exponents, compresses well."""
    if dtype.is_floating_point:
        return {stream: rows[:, plane].tobytes() for plane, stream in enumerate(planes(dtype))}
    return {"bytes": rows.tobytes()}


def _take_plain(take: Take, dtype: torch.dtype, count: int) -> np.ndarray:
    if dtype.is_floating_point:
        return np.stack([take(stream, count) for stream in planes(dtype)], axis=1)
    return take("bytes", count * dtype.itemsize).reshape(count, dtype.itemsize)


def _rows(tensor: Tensor) -> np.ndarray:
    """The bytes of a tensor, uint8 (elements, bytes per element), little-endian."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().reshape(flat.numel(), tensor.dtype.itemsize)


def _tensor(rows: np.ndarray, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(rows.reshape(-1)).view(dtype).reshape(shape)
