"""Masks as gaps and symbols as strings of bits come back whole, in pieces of any length."""

import numpy as np
import pytest

from effdl.models.storage.layouts import gaps, pack
from effdl.models.storage.streams import decode, decoded

LENGTHS = [1, 2, 7, 8, 9, 254, 255, 256, 257, 1000, 5001]


def random_bits(count, p, seed=0):
    return np.packbits(np.random.default_rng(seed).random(8 * count) < p).tobytes()


def random_symbols(count, bits, seed=0):
    return np.random.default_rng(seed).integers(0, 1 << bits, count).astype(np.uint8).tobytes()


def in_pieces(data, step, count, size):
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(decoded(pieces, [[step, count]]))


@pytest.mark.parametrize("p", [0, 0.0005, 0.004, 0.1, 0.5, 1])
@pytest.mark.parametrize("count", LENGTHS)
def test_gaps_are_undone(count, p):
    data = random_bits(count, p)
    coded = gaps(data)
    assert decode(coded, [["gaps", count]]) == data
    assert in_pieces(coded, "gaps", count, 7) == data


def test_gaps_longer_than_a_part():
    data = random_bits(300_000, 0.3)
    assert decode(gaps(data), [["gaps", len(data)]]) == data


def test_gaps_by_hand():
    assert gaps(bytes([0b00010100])) == bytes([3, 1, 2])  # the last: two zeros, then the end
    assert gaps(bytes(64)) == bytes([255, 255, 2])  # 512 zeros
    assert gaps(bytes([255])) == bytes(9)
    zeros_255 = np.packbits(np.r_[np.zeros(255, bool), True]).tobytes()
    assert gaps(zeros_255) == bytes([255, 0, 0])


@pytest.mark.parametrize("bits", range(1, 8))
@pytest.mark.parametrize("count", LENGTHS)
def test_packed_symbols_are_a_bit_string(count, bits):
    data = random_symbols(count, bits)
    packed = pack(data, bits)
    assert decode(packed, [[f"pack{bits}", count]]) == data
    assert in_pieces(packed, f"pack{bits}", count, 5) == data
    string = "".join(f"{symbol:0{bits}b}" for symbol in data) + "0" * bits * (-count % 8)
    assert packed == bytes(int(string[i : i + 8], 2) for i in range(0, len(string), 8))


@pytest.mark.parametrize(
    ("data", "length"), [(b"", 1), (b"\xff", 1), (bytes([3, 1, 2]), 2), (bytes([3, 1, 2, 0]), 1), (bytes([3, 1]), 1)]
)
def test_gaps_that_do_not_fill_the_mask_are_refused(data, length):
    with pytest.raises(ValueError, match="wrong length"):
        decode(data, [["gaps", length]])


@pytest.mark.parametrize("length", [0, 1, 8, 17, 10**12])
def test_packed_symbols_of_another_number_are_refused(length):
    with pytest.raises(ValueError, match="wrong length"):
        decode(bytes(6), [["pack3", length]])  # holds 9 to 16 symbols
