"""Opening a stored model (format model-2): what its file says is checked as a whole before any tensor is decoded.

Every length that the file states follows from the index: the tensors say how many bytes they take of which stream. So a
file cannot claim more than the tensors that it lists, and of those its reader sees the shapes first.
"""

import hashlib
import json
import lzma
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open
from torch import Tensor

from effdl.models.storage.index import Entry, entry_of
from effdl.models.storage.streams import PIECE, decode, decoded, decoded_length
from effdl.models.storage.tensors import Take, join
from effdl.utils.errors import UserError, first_line
from effdl.utils.hardware import memory_bytes

KEY = "effdl"  # one metadata entry: safetensors does not keep the order of several
FORMAT = "model-2"
_LONGEST_HEADER = 1 << 16  # bytes
_LONGEST_INDEX = 1 << 22
_DAMAGE = (SafetensorError, lzma.LZMAError, zlib.error, LookupError, ValueError, TypeError, AttributeError, EOFError)
_DAMAGE += (ArithmeticError, AssertionError, MemoryError, RuntimeError)


@dataclass(frozen=True)
class PlainFile:
    """A safetensors file of another origin: no description, and tensors that lie in the file as they are."""

    tensors: dict[str, Tensor]
    model: dict

    def state(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return self.tensors


@dataclass(frozen=True)
class Contents:
    """A stored model whose tensors are not decoded yet.

    Args:
        model: the description.
        tensors: what the index says of each tensor, by name.
        coded: length of each stream in the file.
    """

    model: dict
    tensors: dict[str, Entry]
    coded: dict[str, int]
    _file: BinaryIO
    _streams: dict[str, tuple[int, int, list]]  # start and length in the file, steps

    def state(self) -> dict[str, Tensor]:
        """The tensors by name. Beside them, decoding takes memory of a fixed size.

        Raises:
            UserError: this machine has less memory.
        """
        needed = sum(entry.nbytes for entry in self.tensors.values())
        if needed > memory_bytes():
            have = f"{needed / 1e9:.1f} GB of memory, this machine has {memory_bytes() / 1e9:.1f} GB"
            raise UserError(f"{self._file.name}: its model needs {have}")
        with self.reading() as take:
            return {name: join(entry, take)[0] for name, entry in self.tensors.items()}

    @contextmanager
    def reading(self, names: Iterable[str] | None = None) -> Iterator[Take]:
        """The function that takes the next bytes of a stream; at the end all of them must be taken.

        Args:
            names: of the streams that are read; None: all.

        Raises:
            ValueError: a stream is too short, or has bytes left.
        """
        streams = {name: _Reader(self._pieces(name)) for name in (self.coded if names is None else names)}
        yield lambda name, count: streams[name].take(count) if count else np.empty(0, np.uint8)
        for stream in streams.values():
            stream.require_end()

    def _pieces(self, name: str) -> Iterator[bytes]:
        start, length, steps = self._streams[name]
        return decoded(_section(self._file, start, length), steps)


class _Reader:
    """A stream whose bytes are decoded as they are taken."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._piece = pieces, np.empty(0, np.uint8)

    def take(self, count: int) -> np.ndarray:
        """The next bytes."""
        if count <= len(self._piece):
            found, self._piece = self._piece[:count], self._piece[count:]
            return found
        found, filled = np.empty(count, np.uint8), 0
        while filled < count:
            if not len(self._piece):
                self._piece = np.frombuffer(self._next(), np.uint8)
            part = self._piece[: count - filled]
            found[filled : filled + len(part)] = part
            filled, self._piece = filled + len(part), self._piece[len(part) :]
        return found

    def require_end(self) -> None:
        """Check that all bytes were taken."""
        if len(self._piece) or any(self._pieces):
            raise ValueError("the index leaves something over")

    def _next(self) -> bytes:
        if (piece := next(self._pieces, None)) is None:
            raise ValueError("a stream is too short")
        return piece


@contextmanager
def opened(path: Path) -> Iterator[Contents | PlainFile]:
    """A stored model or another safetensors file, whose tensors can be decoded in the ``with`` block.

    Raises:
        UserError: the file does not exist, is truncated or damaged, or is not a stored model. So are other errors in
            the block reported, since what a file says is what is built there.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such model file")
    try:
        with path.open("rb") as file:
            yield _contents(file) or _plain(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except _DAMAGE as error:
        raise UserError(f"{path} is damaged or not a stored model: {first_line(error)[:300]}") from error


def digest(*parts: bytes) -> str:
    """SHA-256 (hex) of the concatenated parts."""
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _plain(path: Path) -> PlainFile:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if KEY in (file.metadata() or {}) or "index" in tensors:
            raise ValueError("its header is not that of a stored model")
    return PlainFile(tensors, {})


def _contents(file: BinaryIO) -> Contents | None:
    """The contents of a stored model; None of another file."""
    if (found := _header(file)) is None:
        return None
    header, places = found
    if header["format"] != FORMAT:
        raise ValueError(f"its format is {header['format']}, this version reads {FORMAT}")
    _check_digest(file, places, header["sha256"])
    content = _index(file, *places["index"], header["index"])
    tensors = {name: entry_of(row) for name, *row in content["tensors"]}
    if len(tensors) != len(content["tensors"]) or not all(isinstance(name, str) for name in tensors):
        raise ValueError("two tensors have the same name")
    if not isinstance(content["model"], dict):
        raise TypeError("its description is no object")
    start, length = places["data"]
    streams = {name: (coded, steps) for name, coded, steps in content["streams"]}
    if len(streams) != len(content["streams"]) or any(type(coded) is not int for coded, _ in streams.values()):
        raise ValueError("two streams have the same name")
    coded = {name: coded for name, (coded, _) in streams.items()}
    ends = list(accumulate(coded.values(), initial=0))
    if min(coded.values(), default=1) < 1 or ends[-1] != length:
        raise ValueError("the streams have the wrong length")
    _check_lengths({name: decoded_length(name, *stream) for name, stream in streams.items()}, tensors)
    places = {name: (start + at, *stream) for at, (name, stream) in zip(ends, streams.items(), strict=False)}
    return Contents(content["model"], tensors, coded, file, places)


def _header(file: BinaryIO) -> tuple[dict, dict[str, tuple[int, int]]] | None:
    """The header of a stored model, and start and length of its two parts in the file; None of another file."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if length > min(_LONGEST_HEADER, size - 8):
        return None
    tensors = json.loads(file.read(length))
    metadata = tensors.pop("__metadata__", None) or {}
    if KEY not in metadata:
        return None
    places = {}
    for name, tensor in tensors.items():
        start, end = tensor["data_offsets"]
        if tensor["dtype"] != "U8" or tensor["shape"] != [end - start]:
            raise ValueError("its parts are not bytes")
        places[name] = (8 + length + start, end - start)
    (first, ahead), (second, behind) = sorted(places.values())
    if places.keys() != {"index", "data"} or first != 8 + length or second != first + ahead or second + behind != size:
        raise ValueError("its parts do not fill the file")
    return json.loads(metadata[KEY]), places


def _check_digest(file: BinaryIO, places: dict[str, tuple[int, int]], expected: Any) -> None:
    found = hashlib.sha256()
    for name in ("index", "data"):
        for piece in _section(file, *places[name]):
            found.update(piece)
    if found.hexdigest() != expected:
        raise ValueError("the checksum does not agree")


def _index(file: BinaryIO, start: int, length: int, stated: Any) -> dict:
    """The decoded index. That of a model of a thousand layers has some 100 KB."""
    if type(stated) is not int or not 0 < stated <= min(_LONGEST_INDEX, (1 << 16) + 128 * length):
        raise ValueError(f"an index of {stated} bytes in {length}")
    text = decode(b"".join(_section(file, start, length)), [["lzma", stated]])
    if text.count(b"[") + text.count(b"{") > 64 + len(text) // 8:
        raise ValueError("the index has more lists than text")
    return json.loads(text)


def _check_lengths(streams: dict[str, int], tensors: dict[str, Entry]) -> None:
    """Check that the streams have the lengths that the tensors need, so far as that does not depend on masks."""
    least, most = Counter(), Counter()
    for entry in tensors.values():
        whole = entry.parts(entry.numel)
        for counts, parts in ((most, whole), (least, entry.parts(0) if entry.sparse else whole)):
            for stream, count in parts.items():
                counts[stream] += count
    for name in streams.keys() | most.keys():
        if not least[name] <= streams.get(name, 0) <= most[name]:
            raise ValueError(f"stream {name} has {streams.get(name, 0)} bytes for {least[name]} to {most[name]}")


def _section(file: BinaryIO, start: int, length: int) -> Iterator[bytes]:
    """A part of a file, piece by piece."""
    while length:
        file.seek(start)
        piece = file.read(min(length, PIECE))
        if not piece:
            raise ValueError("the file is cut off")
        yield piece
        start, length = start + len(piece), length - len(piece)
