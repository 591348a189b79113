"""The file of a stored model: writing and reading a state dict, and the bytes that each tensor takes."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save
from torch import Tensor

from effdl.models.storage.contents import FORMAT, KEY, Contents, digest, load, refusing
from effdl.models.storage.streams import ENCODERS, encode
from effdl.models.storage.tensors import Take, join, split, stored_bits
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
    coded = {name: encode(data, _layout(name)) for name, data in joined.items() if data}
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
    path = Path(path)
    with refusing(path):
        contents = load(path)
        if not isinstance(contents, Contents):
            return contents, {}
        return {name: join(entry, take)[0] for name, entry, take in contents.entries()}, contents.model


def quant_grids(path: str | Path) -> dict[str, QuantGrid]:
    """The integer grids of a stored model's tensors, by name.

    Raises:
        UserError: as `read`.
    """
    path = Path(path)
    with refusing(path):
        contents = _stored(path)
        found = {name: join(entry, take)[1] for name, entry, take in contents.entries()}
    return {name: grid for name, grid in found.items() if grid is not None}


def breakdown(path: str | Path) -> dict[str, dict]:
    """How each tensor of a stored model is encoded, and how many bytes of the file it takes.

    Returns:
        By tensor name, ``kind`` ("dense" or "sparse", followed by "grid" or "palette" if it applies), ``bits`` (per
        stored value, before entropy coding) and ``bytes``; under "" the header and the index (without bits).
        The bytes add up to the file's length: tensors share streams, and each stream's coded length is divided among
        them by the information they put in, where a byte counts -log2 of its frequency in the decoded stream.

    Raises:
        UserError: as `read`.
    """
    path = Path(path)
    with refusing(path):
        contents = _stored(path)
        prices = {name: _prices(data) for name, data in contents.streams.items()}
        rows, spent = {}, {}
        for name, entry, take in contents.entries():
            spent[name] = {}
            join(entry, _weighing(take, prices, spent[name]))
            rows[name] = {"kind": " ".join(entry[2:4]), "bits": stored_bits(entry), "bytes": 0}
    for stream, length in contents.coded.items():
        users = [name for name in spent if stream in spent[name]]
        for name, part in zip(users, _divide(length, [spent[name][stream] for name in users]), strict=True):
            rows[name]["bytes"] += part
    rest = path.stat().st_size - sum(contents.coded.values())
    return {**rows, "": {"kind": "header", "bits": None, "bytes": rest}}


def _stored(path: Path) -> Contents:
    contents = load(path)
    if not isinstance(contents, Contents):
        raise UserError(f"{path} is a plain safetensors file: it does not say how its model is stored")
    return contents


def _layout(stream: str) -> str | None:
    """The layout to try for a stream, or None."""
    if stream == "mask":
        return "gaps"
    return layout if (layout := stream.replace("symbols.", "pack")) in ENCODERS else None


def _prices(data: bytes) -> np.ndarray:
    """The information, in bits, of a byte of each value; 1 if all bytes are equal."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    prices = -np.log2(np.maximum(counts, 1) / len(data))
    return prices if (counts * prices).any() else np.ones(256)


def _weighing(take: Take, prices: dict[str, np.ndarray], spent: dict[str, float]) -> Take:
    """A function like `take` that also sums the information of the bytes that it takes from each stream."""

    def weigh(stream: str, count: int) -> np.ndarray:
        data = take(stream, count)
        if count:
            spent[stream] = spent.get(stream, 0.0) + np.bincount(data, minlength=256) @ prices[stream]
        return data

    return weigh


def _divide(total: int, shares: list[float]) -> list[int]:
    """Divide a whole number in proportion to the shares, without a remainder."""
    ends = np.round(np.cumsum(shares) / sum(shares) * total).astype(int)
    return np.diff(ends, prepend=0).tolist()
