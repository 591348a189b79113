"""Arrangements of a stream for an entropy coder: masks as gaps, symbols as strings of bits.

Both are undone piece by piece: a decoder takes the pieces of a stream and gives those of its result.
"""

from collections.abc import Iterable, Iterator

import numpy as np

_PART = 1 << 13  # gaps that are undone at a time: up to 255 bits each


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


def ungaps(pieces: Iterable[bytes], _length: int) -> Iterator[bytes]:
    """The inverse of `gaps`.

    Raises:
        ValueError: the last one is not one bit behind whole bytes.
    """
    rest = np.empty(0, bool)  # bits that do not fill a byte yet
    for piece in pieces:
        for start in range(0, len(piece), _PART):
            distances = np.frombuffer(piece[start : start + _PART], np.uint8)
            ends = np.cumsum(distances + (distances < 255), dtype=np.int64) + len(rest)
            bits = np.zeros(ends[-1], bool)
            bits[: len(rest)] = rest
            bits[ends[distances < 255] - 1] = True
            whole = len(bits) // 8 * 8
            yield np.packbits(bits[:whole]).tobytes()
            rest = bits[whole:]
    if rest.tolist() != [True]:
        raise ValueError("a mask has the wrong length")


def pack(data: bytes, bits: int) -> bytes:
    """Symbols below 2**bits, one per byte, as a bit string: the highest bit first, ended by zeros to 8 symbols."""
    symbols = np.frombuffer(data + bytes(-len(data) % 8), np.uint8).reshape(-1, 8)
    words = np.zeros(len(symbols), ">u8")  # eight symbols fill `bits` bytes
    for column in symbols.T:
        words = words << bits | column
    return words.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 8 - bits :].tobytes()


def unpack(pieces: Iterable[bytes], length: int, bits: int) -> Iterator[bytes]:
    """The inverse of `pack`; `length` is the number of symbols.

    Raises:
        ValueError: the pieces hold another number of symbols.
    """
    rest = b""
    for piece in pieces:
        rest += piece
        whole = len(rest) // bits * bits
        symbols, rest = _symbols(rest[:whole], bits), rest[whole:]
        if symbols and len(symbols) >= length + 8:
            raise ValueError("packed symbols have the wrong length")
        yield symbols[:length]
        length -= min(length, len(symbols))
    if rest or length:
        raise ValueError("packed symbols have the wrong length")


def _symbols(data: bytes, bits: int) -> bytes:
    """The symbols in a string of so many bits that they are a multiple of eight."""
    rows = np.zeros((len(data) // bits, 8), np.uint8)
    rows[:, 8 - bits :] = np.frombuffer(data, np.uint8).reshape(-1, bits)
    words = rows.view(">u8")
    shifts = np.arange(7, -1, -1, dtype=np.uint64) * np.uint64(bits)
    symbols = np.empty((len(words), 8), np.uint8)
    for column, shift in enumerate(shifts):
        symbols[:, column] = words[:, 0] >> shift & (1 << bits) - 1
    return symbols.tobytes()
