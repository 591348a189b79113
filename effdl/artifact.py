"""The stored model: a small file out, an identical model back.

The file is an ordinary safetensors file whose tensors are all bytes (uint8), each a *stream*:

- ``index``: JSON, ``[[name, dtype, shape, "dense" | "sparse"], ...]`` in the order of the state dict;
- ``mask``: one bit per element of every sparse tensor, 1 where it is not zero (``numpy.packbits``, tensor by tensor);
- ``float32.0`` ... ``float32.3`` (and so on for other floats): the little-endian bytes 0 ... 3 of all stored values,
  the non-zero ones of a sparse tensor. Signs and exponents gather in the last plane and compress well;
- ``bytes``: the values of all tensors that are not floating point.

The metadata entry ``effdl`` is JSON: ``format``; ``model``, which rebuilds the architecture; ``streams``, how each is
coded (``huffman``: a deflate stream of literals; ``xz``; or ``raw``) and its decoded length; and the SHA-256 of all
that. "Zero" means all bits zero, so that -0.0 comes back as -0.0. Nothing in the file is ever executed. Equal models
give equal files.
"""

import hashlib
import json
import lzma
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from effdl.errors import UserError
from effdl.files import write_atomic

KEY = "effdl"  # one metadata entry: safetensors does not keep the order of several
FORMAT = "model-1"
# No literal context and no position bits: neighbouring bytes say nothing about each other.
XZ = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "pb": 0, "mf": lzma.MF_HC4, "nice_len": 273, "depth": 1}]
SAMPLE = 1 << 19
DAMAGE = (SafetensorError, lzma.LZMAError, zlib.error, LookupError, ValueError, TypeError, AttributeError, RuntimeError)


def write(path: Path, state: dict[str, Tensor], model: dict) -> int:
    """Store a state dict and the description of the model it belongs to; return the file's length in bytes.

    Args:
        state: tensors by name, any dtype and device.
        model: JSON-able description that rebuilds the architecture (kept in the metadata).
    """
    index, streams = [], {"mask": []}
    for name, tensor in state.items():
        kind, parts = _split(tensor)
        index.append([name, _dtype_name(tensor.dtype), list(tensor.shape), kind])
        for stream, data in parts.items():
            streams.setdefault(stream, []).append(data)
    decoded = {"index": json.dumps(index, separators=(",", ":")).encode()}
    decoded |= {name: b"".join(parts) for name, parts in streams.items()}
    coded = {name: _code(data) for name, data in decoded.items() if data}
    header = {
        "format": FORMAT,
        "model": model,
        "streams": {name: [codec, len(decoded[name])] for name, (codec, _) in coded.items()},
    }
    header["sha256"] = _digest(header, decoded)
    tensors = {name: torch.frombuffer(bytearray(data), dtype=torch.uint8) for name, (_, data) in coded.items()}
    data = save(tensors, {KEY: json.dumps(header)})
    write_atomic(path, data)
    return len(data)


def read(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """State dict and model description of a stored model; also reads plain safetensors files (description ``{}``).

    Raises:
        UserError: no such file, or it is truncated, damaged or not a stored model.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such model file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if KEY not in metadata and "index" not in tensors:
            return tensors, {}
        header = json.loads(metadata[KEY])
        return _decode(tensors, header), header["model"]
    except DAMAGE as error:
        raise UserError(f"{path} is damaged or not a stored model: {error}") from error


def _decode(tensors: dict[str, Tensor], header: dict) -> dict[str, Tensor]:
    if header["format"] != FORMAT:
        raise ValueError(f"its format is {header['format']}, this version reads {FORMAT}")
    streams = {
        name: _uncode(codec, tensors[name].numpy().tobytes(), length)
        for name, (codec, length) in header["streams"].items()
    }
    if _digest(header, streams) != header["sha256"]:
        raise ValueError("the checksum does not agree")
    readers = {name: _Reader(data) for name, data in streams.items()}
    index = json.loads(readers.pop("index").data)
    return {name: _join(dtype, shape, kind, readers) for name, dtype, shape, kind in index}


def _split(tensor: Tensor) -> tuple[str, dict[str, bytes]]:
    """How a tensor is stored, and its part of each stream."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    width = tensor.dtype.itemsize
    rows = flat.view(torch.uint8).numpy().reshape(flat.numel(), width)  # (elements, bytes per element)
    kept = rows.any(axis=1)
    kind = "sparse" if (flat.numel() - kept.sum()) * width * 8 > flat.numel() else "dense"
    values = rows[kept] if kind == "sparse" else rows
    parts = {"mask": np.packbits(kept).tobytes()} if kind == "sparse" else {}
    if tensor.is_floating_point():
        return kind, parts | {f"{_dtype_name(tensor.dtype)}.{i}": values[:, i].tobytes() for i in range(width)}
    return kind, parts | {"bytes": values.tobytes()}


def _join(dtype_name: str, shape: list[int], kind: str, readers: dict[str, "_Reader"]) -> Tensor:
    """The inverse of `_split`, taking the next bytes of each stream."""
    dtype = getattr(torch, dtype_name)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{dtype_name} is not a dtype")
    numel, width = math.prod(shape), dtype.itemsize
    kept, count, values = slice(None), numel, []
    if kind == "sparse":
        kept = np.unpackbits(readers["mask"].take(-(-numel // 8)), count=numel).astype(bool)
        count = int(kept.sum())
    if count and dtype.is_floating_point:
        values = np.stack([readers[f"{dtype_name}.{plane}"].take(count) for plane in range(width)], axis=1)
    elif count:
        values = readers["bytes"].take(count * width).reshape(count, width)
    rows = np.zeros((numel, width), dtype=np.uint8)  # only now: the streams do hold that much
    if count:
        rows[kept] = values
    return torch.from_numpy(rows.reshape(-1)).view(dtype).reshape(shape)


class _Reader:
    """A stream and how far it has been read."""

    def __init__(self, data: bytes):
        self.data, self.position = data, 0

    def take(self, count: int) -> np.ndarray:
        if self.position + count > len(self.data):
            raise ValueError("a stream is too short")
        self.position += count
        return np.frombuffer(self.data, np.uint8, count, self.position - count)


def _huffman(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-15, memLevel=9, strategy=zlib.Z_HUFFMAN_ONLY)
    return coder.compress(data) + coder.flush()


def _xz(data: bytes) -> bytes:
    return lzma.compress(data, filters=XZ, check=lzma.CHECK_NONE)  # one checksum covers all streams


CODERS = {"raw": bytes, "huffman": _huffman, "xz": _xz}


def _code(data: bytes) -> tuple[str, bytes]:
    """Code a stream in the way that makes its middle shortest.

    Exponents have skewed frequencies but no repeats: Huffman codes suffice. Very sparse masks repeat, which only xz
    sees. Mantissas are noise.
    """
    middle = max(0, (len(data) - SAMPLE) // 2)
    sample = data[middle : middle + SAMPLE]
    codec = min(CODERS, key=lambda name: len(CODERS[name](sample)))
    return codec, CODERS[codec](data)


def _uncode(codec: str, data: bytes, length: int) -> bytes:
    """Decode a stream, to no more than its stated length: a forged file can fill only as much memory as it says."""
    if not 0 < length < 1 << 48:  # to zlib 0 is no limit, to xz -1
        raise ValueError(f"{length} is not a length")
    if codec == "huffman":
        data = zlib.decompressobj(wbits=-15).decompress(data, length)
    elif codec == "xz":
        data = lzma.LZMADecompressor().decompress(data, max_length=length)
    elif codec != "raw":
        raise ValueError(f"unknown coding {codec!r}")
    if len(data) != length:
        raise ValueError("a stream has the wrong length")
    return data


def _digest(header: dict, streams: dict[str, bytes]) -> str:
    """SHA-256 over the header without its own entry and the decoded streams."""
    covered = {key: value for key, value in header.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(covered, sort_keys=True).encode())
    for name in sorted(header["streams"]):
        digest.update(streams[name])
    return digest.hexdigest()


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
