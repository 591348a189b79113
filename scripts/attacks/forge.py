"""Stored models as files of any content, with lengths and checksums that agree.

The format is that of effdl/models/storage/README.md.
"""

import hashlib
import json
import lzma
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LZMA = {"id": lzma.FILTER_LZMA2, "dict_size": 8 << 20}
HIDDEN = 8  # of the multilayer perceptron that forgeries start from: 64, 8, 10


@dataclass
class Forgery:
    """What a file says, which is then made to agree with itself.

    Attributes:
        streams: by name: coded bytes, and the steps that decode them. A list, so that names can occur twice.
        index_length: of the decoded index, if it is not the true one.
    """

    model: Any
    tensors: list
    streams: list[tuple[str, bytes, list]]
    format: str = "model-2"
    index_length: int | None = None
    index: bytes | None = None  # coded, instead of that of the content
    header: dict = field(default_factory=dict)  # more or other keys of the header

    def write(self, path: Path) -> None:
        """The file."""
        content = {
            "model": self.model,
            "streams": [[name, len(data), steps] for name, data, steps in self.streams],
            "tensors": self.tensors,
        }
        plain = json.dumps(content).encode()
        index = lzma.compress(plain, lzma.FORMAT_RAW, filters=[LZMA]) if self.index is None else self.index
        data = b"".join(data for _, data, _ in self.streams)
        length = len(plain) if self.index_length is None else self.index_length
        digest = hashlib.sha256(index + data).hexdigest()
        header = {"format": self.format, "index": length, "sha256": digest, **self.header}
        path.write_bytes(safetensors({"index": index, "data": data}, {"effdl": json.dumps(header)}))


def safetensors(tensors: dict[str, bytes], metadata: dict[str, str]) -> bytes:
    """A safetensors file of bytes."""
    head: dict[str, Any] = {"__metadata__": metadata}
    at = 0
    for name, data in tensors.items():
        head[name] = {"dtype": "U8", "shape": [len(data)], "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(tensors.values())


def honest(hidden: int = HIDDEN) -> Forgery:
    """A multilayer perceptron for images of 8x8 with a hidden layer, all weights zero and sparse, biases dense."""
    shapes = {"1.weight": [hidden, 64], "1.bias": [hidden], "4.weight": [10, hidden], "4.bias": [10]}
    tensors, masks, floats = [], b"", 0
    for name, shape in shapes.items():
        if len(shape) == 2:
            tensors.append([name, "float32", shape, "sparse"])
            masks += bytes(-(-shape[0] * shape[1] // 8))
        else:
            tensors.append([name, "float32", shape, "dense"])
            floats += shape[0]
    streams = [("mask", *coded(masks, "lzma"))]
    streams += [(f"float32.{plane}", *coded(bytes(floats), "deflate")) for plane in range(4)]
    return Forgery(description(hidden=[hidden]), tensors, streams)


def description(**keys: Any) -> dict:
    """The description of a multilayer perceptron with other keys."""
    config = {"option": "mlp", "hidden": [HIDDEN], "width": 1.0, "batchnorm": False, "dropout": 0.0}
    return {
        "stage": "dense",
        "config": config | keys,
        "channels": 1,
        "image_size": 8,
        "classes": 10,
        "structure": [],
    }


def coded(data: bytes, *steps: str) -> tuple[bytes, list]:
    """Bytes coded by steps, the first of which undoes the last coding, and the steps with their lengths."""
    listed = []
    for step in reversed(steps):
        listed.insert(0, [step, len(data)])
        data = _encode(step, data)
    return data, listed


def _encode(step: str, data: bytes) -> bytes:
    if step == "lzma":
        return lzma.compress(data, lzma.FORMAT_RAW, filters=[LZMA])
    if step in ("deflate", "huffman"):
        coder = zlib.compressobj(9, wbits=-15)
        return coder.compress(data) + coder.flush()
    raise ValueError(step)


def bomb(step: str, size: int) -> bytes:
    """Coded zeros, `size` decoded bytes; made in pieces."""
    piece = bytes(1 << 20)
    coder = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=[LZMA]) if step == "lzma" else zlib.compressobj(9, wbits=-15)
    parts = [coder.compress(piece) for _ in range(size >> 20)]
    return b"".join([*parts, coder.flush()])
