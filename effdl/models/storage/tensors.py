"""Encoding of a tensor into parts of streams: a mask, and values as bytes, integer codes or palette indices."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from effdl.nn.fake_quant import QuantGrid, bounds

Take = Callable[[str, int], np.ndarray]  # returns the next bytes of a stream
_LARGEST_PALETTE = 256
_WIDEST_GRID = 8


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
    return [_name(tensor.dtype), list(tensor.shape), "sparse" if sparse else "dense", *values], parts


def join(entry: list, take: Take) -> tuple[Tensor, QuantGrid | None]:
    """The inverse of `split`.

    Args:
        entry: the tensor's entry of the index, without the name.
        take: returns the next bytes of a stream.

    Raises:
        ValueError, LookupError, TypeError, RuntimeError: the entry is not valid, or does not fit the streams.
    """
    dtype_name, shape, kind, *values = entry
    dtype, numel = _dtype(dtype_name), math.prod(shape)
    if kind not in ("dense", "sparse") or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"{entry} describes no tensor")
    kept, count = slice(None), numel
    if kind == "sparse":
        kept = np.unpackbits(take("mask", -(-numel // 8)), count=numel).astype(bool)
        count = int(kept.sum())
    match values:
        case ["grid", bits, scale_type, scale_shape]:
            scale_type = _dtype(scale_type)
            scale = _tensor(_take_plain(take, scale_type, math.prod(scale_shape)), scale_type, scale_shape)
            symbols = take(f"symbols.{bits}", count)
            codes = np.zeros(numel, np.int16)  # allocated only now, when the streams are known to have as many
            codes[kept] = _alphabet(bits)[symbols]
            return on_grid(torch.from_numpy(codes).reshape(shape), scale, dtype), QuantGrid(scale, bits)
        case ["palette", size]:
            stored = _take_plain(take, dtype, size)[take(f"symbols.{_palette_bits(size)}", count)]
        case []:
            stored = _take_plain(take, dtype, count)
        case _:
            raise ValueError(f"{values} describes no values")
    rows = np.zeros((numel, dtype.itemsize), dtype=np.uint8)
    rows[kept] = stored
    return _tensor(rows, dtype, shape), None


def stored_bits(entry: list) -> int:
    """Bits per stored value of a tensor, before entropy coding."""
    dtype_name, _, _, *values = entry
    match values:
        case ["grid", bits, *_]:
            return bits
        case ["palette", size]:
            return _palette_bits(size)
    return 8 * _dtype(dtype_name).itemsize


def _alphabet(bits: int) -> np.ndarray:
    """The codes of a grid, by symbol: the integers of `bits` bits in ascending order; with one bit, -1 and 1."""
    if type(bits) is not int or not 0 < bits <= _WIDEST_GRID:
        raise ValueError(f"a grid of {bits} bits: 1 to {_WIDEST_GRID} can be stored")
    low, high = bounds(bits, signed=True)
    return np.array([-1, 1] if bits == 1 else range(low, high + 1), np.int16)


def on_grid(codes: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """``code * scale``, computed in the type of the scale."""
    return (codes.to(scale.dtype) * scale.expand(codes.shape)).to(dtype)


def _palette_bits(size: int) -> int:
    """Number of bits of the indices into a palette."""
    return max(1, (size - 1).bit_length())


def _on_grid(tensor: Tensor, grid: QuantGrid) -> tuple[bool, list, dict[str, bytes]]:
    weight, scale = tensor.detach().cpu(), grid.scale.detach().cpu()
    codes = (weight.double() / scale.double()).nan_to_num(nan=0.0).round().numpy().reshape(-1)  # 0/0: scale 0
    zeros, known = int((codes == 0).sum()), _alphabet(grid.bits)
    sparse = _as_sparse(zeros, len(codes), grid.bits == 1)
    stored = codes[codes != 0] if sparse else codes
    symbols = np.searchsorted(known, stored).clip(max=len(known) - 1)
    exact = np.where(np.abs(codes) <= 1 << grid.bits, codes, 0).astype(np.int16)
    again = on_grid(torch.from_numpy(exact).reshape(weight.shape), scale, weight.dtype)
    if (known[symbols] != stored).any() or (_rows(again) != _rows(weight)).any():
        raise ValueError(f"not every weight is a code of {grid.bits} bits times the grid's scale, bit for bit")
    values = ["grid", grid.bits, _name(scale.dtype), list(scale.shape)]
    return sparse, values, {**_plain(scale.dtype, _rows(scale)), **_symbols(symbols, grid.bits)}


def _in_palette(dtype: torch.dtype, rows: np.ndarray) -> tuple[bool, list, dict[str, bytes]] | None:
    """Floats as a palette and indices into it, if that takes less than 3/4 of their bytes.

    None if most values occur once: a small tensor then has few values by chance, not because the model shares them.
    """
    if not dtype.is_floating_point:
        return None
    width = rows.shape[1]
    patterns = rows.view(f"<u{width}").reshape(-1)
    if len(np.unique(patterns[: 16 * _LARGEST_PALETTE])) > _LARGEST_PALETTE + 1:
        return None
    palette, symbols = np.unique(patterns, return_inverse=True)
    zeros = int((patterns == 0).sum())
    if len(patterns) - zeros < 2 * np.count_nonzero(palette):
        return None
    costs_a_bit = _palette_bits(len(palette) - 1) < _palette_bits(len(palette))
    sparse = _as_sparse(zeros, len(rows), costs_a_bit)
    if sparse:
        palette, symbols = palette[1:], symbols[patterns != 0] - 1
    bits = _palette_bits(len(palette))
    indexed, plain = len(symbols) * bits / 8 + len(palette) * width, len(symbols) * width
    if len(palette) > _LARGEST_PALETTE or 4 * indexed >= 3 * plain:
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
        return {f"{_name(dtype)}.{plane}": rows[:, plane].tobytes() for plane in range(rows.shape[1])}
    return {"bytes": rows.tobytes()}


def _take_plain(take: Take, dtype: torch.dtype, count: int) -> np.ndarray:
    if dtype.is_floating_point:
        return np.stack([take(f"{_name(dtype)}.{plane}", count) for plane in range(dtype.itemsize)], axis=1)
    return take("bytes", count * dtype.itemsize).reshape(count, dtype.itemsize)


def _rows(tensor: Tensor) -> np.ndarray:
    """The bytes of a tensor, uint8 (elements, bytes per element), little-endian."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().reshape(flat.numel(), tensor.dtype.itemsize)


def _tensor(rows: np.ndarray, dtype: torch.dtype, shape: list[int]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rows).reshape(-1)).view(dtype).reshape(shape)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{name} is not a dtype")
    return dtype
