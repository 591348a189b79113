"""Opening a stored model: the file is verified and decoded into byte streams (format model-2)."""

import hashlib
import json
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from torch import Tensor

from effdl.models.storage.streams import decode
from effdl.models.storage.tensors import Take
from effdl.utils.errors import UserError

KEY = "effdl"  # one metadata entry: safetensors does not keep the order of several
FORMAT = "model-2"
_DAMAGE = (SafetensorError, lzma.LZMAError, zlib.error, LookupError, ValueError, TypeError, AttributeError)
_DAMAGE += (ArithmeticError, MemoryError, RuntimeError)


@dataclass(frozen=True)
class Contents:
    """The contents of a file: model description, index, decoded streams, and the length of each stream in the file."""

    model: dict
    index: list[list]
    streams: dict[str, bytes]
    coded: dict[str, int]

    def entries(self) -> Iterator[tuple[str, list, Take]]:
        """Each tensor's name and entry, and the function that takes the next bytes of a stream.

        Raises:
            ValueError: at the end, if a stream has bytes left or a name occurs twice.
        """
        position = dict.fromkeys(self.streams, 0)

        def take(name: str, count: int) -> np.ndarray:
            if count == 0:
                return np.empty(0, np.uint8)
            start = position[name]
            if count < 0 or start + count > len(self.streams[name]):
                raise ValueError(f"stream {name} is too short")
            position[name] += count
            return np.frombuffer(self.streams[name], np.uint8, count, start)

        for name, *entry in self.index:
            yield name, entry, take
        if any(position[name] != len(data) for name, data in self.streams.items()):
            raise ValueError("the index leaves something over")
        if len({name for name, *_ in self.index}) != len(self.index):
            raise ValueError("two tensors have the same name")


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Report every error in the ``with`` block as a damaged file.

    Raises:
        UserError: the file does not exist, is truncated or damaged, or is not a stored model.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such model file")
    try:
        yield
    except _DAMAGE as error:
        raise UserError(f"{path} is damaged or not a stored model: {error}") from error


def load(path: Path) -> Contents | dict[str, Tensor]:
    """The decoded streams of a stored model, or the tensors of a plain safetensors file."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    if KEY not in metadata and "index" not in tensors:
        return tensors
    header = json.loads(metadata[KEY])
    data = {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
    if header["format"] != FORMAT:
        raise ValueError(f"its format is {header['format']}, this version reads {FORMAT}")
    return _contents(header, **data)


def digest(*parts: bytes) -> str:
    """SHA-256 (hex) of the concatenated parts."""
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _contents(header: dict, index: bytes, data: bytes) -> Contents:
    _check(digest(index, data), header)
    content = json.loads(decode(index, [["lzma", header["index"]]]))
    coded = {name: length for name, length, _ in content["streams"]}
    ends = list(accumulate(coded.values(), initial=0))
    if min(coded.values(), default=0) < 0 or ends[-1] != len(data) or len(coded) != len(content["streams"]):
        raise ValueError("the streams have the wrong length")
    streams = {
        name: decode(data[start : start + length], steps)
        for (name, length, steps), start in zip(content["streams"], ends, strict=False)
    }
    return Contents(content["model"], content["tensors"], streams, coded)


def _check(found: str, header: dict) -> None:
    if found != header["sha256"]:
        raise ValueError("the checksum does not agree")
