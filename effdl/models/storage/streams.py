"""Compression of byte streams: arranged for an entropy coder, then encoded by a standard library.

Deflate's Huffman codes suit skewed frequencies without repeats (exponents of floats, codes, gaps). LZMA's adaptive
binary models come within a few percent of the entropy where one symbol takes less than a bit or where the
frequencies drift from layer to layer. Noise (mantissas, binary weights) is not compressed.
"""

import lzma
import zlib
from functools import partial
from itertools import product

import numpy as np

# No literal context and no position bits: neighbouring bytes are independent. Raw, without the 60 bytes
# of an .xz file around it.
_LZMA = {"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "pb": 0, "mf": lzma.MF_HC4, "nice_len": 273, "depth": 1}
SAMPLE = 1 << 19  # bytes on which encodings are compared
_LONGEST = 1 << 48


def encode(data: bytes, layout: str | None = None) -> tuple[list[list], bytes]:
    """Encode a stream by the encoding that makes its middle shortest, with or without the given layout.

    Returns:
        The steps that decode it, in order, each ``[name, length of its result]``, and the encoded stream.
    """
    middle = max(0, (len(data) - SAMPLE) // 2)
    sample = data[middle : middle + SAMPLE]
    ways = [layouts + coders for layouts, coders in product([(), (layout,)] if layout else [()], _CODERS)]
    best = min(ways, key=lambda way: len(_apply(way, sample)[1]))
    return _apply(best, data)


def decode(data: bytes, steps: list[list]) -> bytes:
    """Decode a stream by its steps. No step makes more bytes than its stated length, which limits the memory.

    Raises:
        ValueError, LookupError, TypeError, zlib.error, lzma.LZMAError: the stream is damaged.
    """
    for name, length in steps:
        if not 0 < length < _LONGEST:  # to zlib 0 is no limit, to lzma -1
            raise ValueError(f"{length} is not a length")
        data = DECODERS[name](data, length)
        if len(data) != length:
            raise ValueError("a stream has the wrong length")
    return data


def _apply(way: tuple[str, ...], data: bytes) -> tuple[list[list], bytes]:
    steps = []
    for name in way:
        steps.insert(0, [name, len(data)])
        data = ENCODERS[name](data)
    return steps, data


def gaps(data: bytes) -> bytes:
    """Bits as the distances between ones: a byte below 255 is that many zeros and a one, 255 is 255 zeros.

    One more one behind the last bit ends the stream. For a rare one this is shorter to code than the bits (Han, Mao &
    Dally 2016, "Deep Compression", section 2, codes such distances with Huffman's method).
    """
    ones = np.append(np.flatnonzero(np.unpackbits(np.frombuffer(data, np.uint8))), 8 * len(data))
    jumps, rest = np.divmod(np.diff(ones, prepend=-1) - 1, 255)
    coded = np.full(int(jumps.sum()) + len(ones), 255, np.uint8)
    coded[np.cumsum(jumps + 1) - 1] = rest
    return coded.tobytes()


def ungaps(data: bytes, length: int) -> bytes:
    """The inverse of `gaps`; `length` in bytes."""
    distances = np.frombuffer(data, np.uint8)
    ends = np.cumsum(distances.astype(np.int64) + (distances < 255))
    if not len(data) or distances[-1] == 255 or ends[-1] != 8 * length + 1:
        raise ValueError("a mask has the wrong length")
    ones = np.zeros(8 * length + 1, bool)
    ones[ends[distances < 255] - 1] = True
    return np.packbits(ones[:-1]).tobytes()


def pack(data: bytes, bits: int) -> bytes:
    """Symbols below 2**bits, one per byte, as a bit string: the highest bit first, ended by zeros to 8 symbols."""
    symbols = np.frombuffer(data + bytes(-len(data) % 8), np.uint8).reshape(-1, 8)
    words = np.zeros(len(symbols), ">u8")  # eight symbols fill `bits` bytes
    for column in symbols.T:
        words = words << bits | column
    return words.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 8 - bits :].tobytes()


def unpack(data: bytes, length: int, bits: int) -> bytes:
    """The inverse of `pack`; `length` is the number of symbols."""
    if len(data) != -(-length // 8) * bits:
        raise ValueError("packed symbols have the wrong length")
    rows = np.zeros((len(data) // bits, 8), np.uint8)
    rows[:, 8 - bits :] = np.frombuffer(data, np.uint8).reshape(-1, bits)
    words = rows.view(">u8")
    shifts = np.arange(7, -1, -1, dtype=np.uint64) * np.uint64(bits)
    symbols = np.empty((len(words), 8), np.uint8)
    for column, shift in enumerate(shifts):
        symbols[:, column] = words[:, 0] >> shift & (1 << bits) - 1
    return symbols.tobytes()[:length]


def _deflate(data: bytes, strategy: int) -> bytes:
    coder = zlib.compressobj(level=9, wbits=-15, memLevel=9, strategy=strategy)
    return coder.compress(data) + coder.flush()


def _inflate(data: bytes, length: int) -> bytes:
    return zlib.decompressobj(wbits=-15).decompress(data, length)


def _lzma(data: bytes) -> bytes:
    return lzma.compress(data, format=lzma.FORMAT_RAW, filters=[_LZMA])


def _unlzma(data: bytes, length: int) -> bytes:
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 6}])
    return decoder.decompress(data, max_length=length)


_CODERS = [(), ("huffman",), ("deflate",), ("lzma",)]
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
