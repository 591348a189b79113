"""Compression of byte streams: arranged for an entropy coder, then encoded by a standard library.

Deflate's Huffman codes suit skewed frequencies without repeats (exponents of floats, codes, gaps). LZMA's adaptive
binary models come within a few percent of the entropy where one symbol takes less than a bit or where the
frequencies drift from layer to layer. Noise (mantissas, binary weights) is not compressed.

A stream is decoded piece by piece, so that a reader needs memory only for what it keeps.
"""

import lzma
import zlib
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import product

from effdl.models.storage.layouts import gaps, pack, ungaps, unpack

# No literal context and no position bits: neighbouring bytes are independent. Raw, without the 60 bytes
# of an .xz file around it.
_LZMA = {"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "pb": 0, "mf": lzma.MF_HC4, "nice_len": 273, "depth": 1}
SAMPLE = 1 << 19  # bytes on which encodings are compared
PIECE = 1 << 16  # bytes that a coder reads or makes at a time


def encode(data: bytes, layout: str | None = None) -> tuple[list[list], bytes]:
    """Encode a stream by the encoding that makes its middle shortest, with or without the given layout.

    Returns:
        The steps that decode it, in order, each ``[name, length of its result]``, and the encoded stream.
    """
    middle = max(0, (len(data) - SAMPLE) // 2)
    sample = data[middle : middle + SAMPLE]
    best = min(_ways(layout), key=lambda way: len(_apply(way, sample)[1]))
    return _apply(best, data)


def layout_of(stream: str) -> str | None:
    """The layout to try for a stream of this name, or None."""
    if stream == "mask":
        return "gaps"
    return layout if (layout := stream.replace("symbols.", "pack")) in ENCODERS else None


def decoded_length(stream: str, coded: int, steps: list[list]) -> int:
    """The length of a stream by its steps, from the length of its code. Nothing is decoded.

    Raises:
        ValueError, TypeError: `encode` makes no such steps for the stream, or they cannot have such lengths.
    """
    names = tuple(name for name, _ in steps)
    if names not in [way[::-1] for way in _ways(layout_of(stream))]:
        raise ValueError(f"stream {stream} cannot be coded by {names}")
    length = coded
    for name, result in steps:
        if type(result) is not int or result < 1 or not _possible(name, length, result):
            raise ValueError(f"stream {stream}: {name} does not make {result} bytes of {length}")
        length = result
    return length


def decoded(pieces: Iterable[bytes], steps: list[list]) -> Iterator[bytes]:
    """Decode the pieces of a stream by its steps; they are read as those of the result are asked for.

    Raises:
        ValueError, LookupError, TypeError, zlib.error, lzma.LZMAError: the stream is damaged, or a step makes more or
            less than its stated length.
    """
    for name, length in steps:
        pieces = _exactly(length, DECODERS[name](pieces, length))
    return iter(pieces)


def decode(data: bytes, steps: list[list]) -> bytes:
    """Decode a whole stream: see `decoded`."""
    return b"".join(decoded((data[start : start + PIECE] for start in range(0, len(data), PIECE)), steps))


def _ways(layout: str | None) -> list[tuple[str, ...]]:
    """The encodings of a stream: at most one layout, then at most one coder."""
    return [layouts + coders for layouts, coders in product([(), (layout,)] if layout else [()], _CODERS)]


def _apply(way: tuple[str, ...], data: bytes) -> tuple[list[list], bytes]:
    steps = []
    for name in way:
        steps.insert(0, [name, len(data)])
        data = ENCODERS[name](data)
    return steps, data


def _possible(step: str, length: int, result: int) -> bool:
    """Whether a step can make `result` bytes of `length`."""
    if step == "gaps":
        return length <= 8 * result + 1 <= 255 * length
    if step.startswith("pack"):
        return length == -(-result // 8) * int(step.removeprefix("pack"))
    return result <= _LARGEST_GAIN[step] * length


def _exactly(length: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces, whose lengths must add up to `length`."""
    for piece in pieces:
        length -= len(piece)
        if length < 0:
            break
        yield piece
    if length:
        raise ValueError("a stream has the wrong length")


def _deflate(data: bytes, strategy: int) -> bytes:
    level = 9 if len(data) < SAMPLE else 6  # 9 takes much longer where few values repeat, for little
    coder = zlib.compressobj(level=level, wbits=-15, memLevel=9, strategy=strategy)
    return coder.compress(data) + coder.flush()


def _inflate(pieces: Iterable[bytes], _length: int) -> Iterator[bytes]:
    decoder = zlib.decompressobj(wbits=-15)
    for piece in pieces:
        _require_end(not decoder.eof)
        yield (made := decoder.decompress(piece, PIECE))
        while not decoder.eof and (decoder.unconsumed_tail or len(made) == PIECE):  # zlib itself may hold more
            yield (made := decoder.decompress(decoder.unconsumed_tail, PIECE))
    _require_end(decoder.eof and not decoder.unused_data)


def _lzma(data: bytes) -> bytes:
    return lzma.compress(data, format=lzma.FORMAT_RAW, filters=[_LZMA])


def _unlzma(pieces: Iterable[bytes], _length: int) -> Iterator[bytes]:
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 6}])
    for piece in pieces:
        _require_end(not decoder.eof)
        yield decoder.decompress(piece, PIECE)
        while not (decoder.eof or decoder.needs_input):
            yield decoder.decompress(b"", PIECE)
    _require_end(decoder.eof and not decoder.unused_data)


def _require_end(met: bool) -> None:
    if not met:
        raise ValueError("a stream and its code do not end together")


_CODERS = [(), ("huffman",), ("deflate",), ("lzma",)]
# A byte of code cannot make more: deflate's longest match has 258 bytes in 2 bits, LZMA's 273 in 14 binary decisions of
# at least 0.022 bits each.
_LARGEST_GAIN = {"huffman": 1032, "deflate": 1032, "lzma": 7100}
ENCODERS = {
    "huffman": partial(_deflate, strategy=zlib.Z_HUFFMAN_ONLY),
    "deflate": partial(_deflate, strategy=zlib.Z_DEFAULT_STRATEGY),
    "lzma": _lzma,
    "gaps": gaps,
    **{f"pack{bits}": partial(pack, bits=bits) for bits in range(1, 8)},
}
DECODERS = {
    "huffman": _inflate,
    "deflate": _inflate,
    "lzma": _unlzma,
    "gaps": ungaps,
    **{f"pack{bits}": partial(unpack, bits=bits) for bits in range(1, 8)},
}
