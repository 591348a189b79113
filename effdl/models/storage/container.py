"""The file of a stored model: writing and reading a state dict, and the bytes that each tensor takes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import numpy as np
from safetensors.numpy import save
from torch import Tensor

from effdl.models.storage.contents import FORMAT, KEY, Contents, PlainFile, digest, opened
from effdl.models.storage.streams import ENCODERS, PIECE, encode, layout_of
from effdl.models.storage.tensors import count_stored, join, split
from effdl.nn.fake_quant import QuantGrid
from effdl.utils.errors import UserError
from effdl.utils.files import write_atomic


def write(path: Path, state: dict[str, Tensor], model: dict, grids: dict[str, QuantGrid] | None = None) -> int:
    """Store a state dict and the description of the model it belongs to; return the file's length in bytes.

    Args:
        state: tensors by name, any dtype and device.
        model: JSON-able description that rebuilds the architecture.
        grids: the integer grids of quantized tensors, by their names; the codes of these are stored.

    Raises:
        RuntimeError: a tensor does not lie on its grid, bit for bit, which is a bug.
    """
    grids = grids or {}
    if unknown := grids.keys() - state.keys():
        raise RuntimeError(f"grids of tensors that do not exist: {sorted(unknown)}")
    index, streams = [], {}
    for name, tensor in state.items():
        try:
            entry, parts = split(tensor, grids.get(name))
        except (ValueError, RuntimeError) as error:
            raise RuntimeError(f"{name}: {error}") from error
        index.append([name, *entry])
        for stream, data in parts.items():
            streams.setdefault(stream, []).append(data)
    joined = {name: b"".join(pieces) for name, pieces in streams.items()}
    coded = {name: encode(data, layout_of(name)) for name, data in joined.items() if data}
    content = {
        "model": model,
        "streams": [[name, len(data), steps] for name, (steps, data) in coded.items()],
        "tensors": index,
    }
    plain = json.dumps(content, separators=(",", ":")).encode()
    parts = {"index": ENCODERS["lzma"](plain), "data": b"".join(data for _, data in coded.values())}
    header = {"format": FORMAT, "index": len(plain), "sha256": digest(parts["index"], parts["data"])}
    file = save({name: np.frombuffer(data, np.uint8) for name, data in parts.items()}, {KEY: json.dumps(header)})
    write_atomic(path, file)
    return len(file)


def read(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """State dict and model description of a stored model; also reads plain safetensors files (description ``{}``).

    Raises:
        UserError: the file does not exist, is truncated or damaged, or is not a stored model.
    """
    with opened(Path(path)) as file:
        return file.state(), file.model


def quant_grids(path: str | Path) -> dict[str, QuantGrid]:
    """The integer grids of a stored model's tensors, by name.

    Raises:
        UserError: as `read`.
    """
    with _stored(path) as file:
        if not any(entry.grid for entry in file.tensors.values()):
            return {}  # nothing is decoded
        with file.reading() as take:
            found = {name: join(entry, take)[1] for name, entry in file.tensors.items()}
    return {name: grid for name, grid in found.items() if grid is not None}


def breakdown(path: str | Path) -> dict[str, dict]:
    """How each tensor of a stored model is encoded, and how many bytes of the file it takes.

    Returns:
        By tensor name, ``kind`` ("dense" or "sparse", followed by "grid" or "palette" if it applies), ``bits`` (per
        stored value, before entropy coding), ``table`` (number of scales, or of a palette's values) and ``bytes``;
        under "" the header and the index (without bits).
        The bytes add up to the file's length: tensors share streams, and each stream's coded length is divided among
        them by the information they put in, where a byte counts -log2 of its frequency in the decoded stream.

    Raises:
        UserError: as `read`.
    """
    with _stored(path) as file:
        rows = {
            name: {"kind": entry.kind, "bits": entry.bits, "table": entry.table, "bytes": 0}
            for name, entry in file.tensors.items()
        }
        parts = _parts(file)
        for stream, coded in file.coded.items():
            users = [name for name in parts if stream in parts[name]]
            lengths = [parts[name][stream] for name in users]
            with file.reading([stream]) as take:
                shares = _information(take(stream, sum(lengths)), lengths)
            for name, part in zip(users, _divide(coded, shares), strict=True):
                rows[name]["bytes"] += part
        rest = Path(path).stat().st_size - sum(file.coded.values())
    return {**rows, "": {"kind": "header", "bits": None, "table": 0, "bytes": rest}}


@contextmanager
def _stored(path: str | Path) -> Iterator[Contents]:
    """A stored model, opened.

    Raises:
        UserError: as `read`, or the file is a plain one.
    """
    with opened(Path(path)) as file:
        if isinstance(file, PlainFile):
            raise UserError(f"{path} is a plain safetensors file: it does not say how its model is stored")
        yield file


def _parts(file: Contents) -> dict[str, dict[str, int]]:
    """The bytes that each tensor takes of each stream."""
    with file.reading([name for name in file.coded if name == "mask"]) as take:
        return {name: entry.parts(count_stored(entry, take)) for name, entry in file.tensors.items()}


def _information(data: np.ndarray, lengths: list[int]) -> list[float]:
    """The information, in bits, of the parts of a stream that have these lengths."""
    prices = _prices(_histogram(data))
    ends = accumulate(lengths)
    return [_histogram(data[end - length : end]) @ prices for length, end in zip(lengths, ends, strict=True)]


def _prices(counts: np.ndarray) -> np.ndarray:
    """The information, in bits, of a byte of each value; 1 if all bytes are equal."""
    prices = -np.log2(np.maximum(counts, 1) / counts.sum())
    return prices if (counts * prices).any() else np.ones(256)


def _histogram(data: np.ndarray) -> np.ndarray:
    """How often each byte occurs; counted in pieces, of which NumPy makes wide integers."""
    pieces = (data[start : start + PIECE] for start in range(0, len(data), PIECE))
    return sum((np.bincount(piece, minlength=256) for piece in pieces), np.zeros(256, int))


def _divide(total: int, shares: list[float]) -> list[int]:
    """Divide a whole number in proportion to the shares, without a remainder."""
    ends = np.round(np.cumsum(shares) / sum(shares) * total).astype(int)
    return np.diff(ends, prepend=0).tolist()
