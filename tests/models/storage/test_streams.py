"""Streams come back whole, in the shortest of several codings, and never longer than they say."""

import lzma
import math
import zlib

import numpy as np
import pytest

from effdl.models.storage import streams

LENGTHS = [1, 2, 7, 8, 9, 254, 255, 256, 257, 1000, 5001]


def random_bits(count, p, seed=0):
    return np.packbits(np.random.default_rng(seed).random(8 * count) < p).tobytes()


def random_symbols(count, bits, seed=0):
    return np.random.default_rng(seed).integers(0, 1 << bits, count).astype(np.uint8).tobytes()


@pytest.mark.parametrize("p", [0, 0.0005, 0.004, 0.1, 0.5, 1])
@pytest.mark.parametrize("count", LENGTHS)
def test_gaps_are_undone(count, p):
    data = random_bits(count, p)
    assert streams.ungaps(streams.gaps(data), count) == data


def test_gaps_by_hand():
    assert streams.gaps(bytes([0b00010100])) == bytes([3, 1, 2])  # the last: two zeros, then the end
    assert streams.gaps(bytes(64)) == bytes([255, 255, 2])  # 512 zeros
    assert streams.gaps(bytes([255])) == bytes(9)
    zeros_255 = np.packbits(np.r_[np.zeros(255, bool), True]).tobytes()
    assert streams.gaps(zeros_255) == bytes([255, 0, 0])


@pytest.mark.parametrize("bits", range(1, 8))
@pytest.mark.parametrize("count", LENGTHS)
def test_packed_symbols_are_a_bit_string(count, bits):
    data = random_symbols(count, bits)
    packed = streams.pack(data, bits)
    assert streams.unpack(packed, count, bits) == data
    string = "".join(f"{symbol:0{bits}b}" for symbol in data) + "0" * bits * (-count % 8)
    assert packed == bytes(int(string[i : i + 8], 2) for i in range(0, len(string), 8))


@pytest.mark.parametrize(
    ("data", "length"), [(b"", 1), (b"\xff", 1), (bytes([3, 1, 2]), 2), (bytes([3, 1, 2, 0]), 1), (bytes([3, 1]), 1)]
)
def test_gaps_that_do_not_fill_the_mask_are_refused(data, length):
    with pytest.raises(ValueError, match="a mask has the wrong length"):
        streams.ungaps(data, length)


@pytest.mark.parametrize("length", [0, 1, 8, 17, 10**12])
def test_packed_symbols_of_another_number_are_refused(length):
    with pytest.raises(ValueError, match="packed symbols have the wrong length"):
        streams.unpack(bytes(6), length, 3)  # holds 9 to 16 symbols


DATA = {
    "noise": (random_symbols(30_000, 8), None, []),
    "binary": (random_symbols(30_000, 1), "pack1", ["pack1"]),
    "five bits": (random_symbols(30_000, 5), "pack5", ["pack5"]),
    "one value": (bytes(30_000), None, None),
    "sparse mask": (random_bits(30_000, 0.03), "gaps", None),
    "half mask": (random_bits(30_000, 0.5), "gaps", []),
    "skewed": (np.random.default_rng(0).binomial(15, 0.5, 30_000).astype(np.uint8).tobytes(), "pack4", None),
}


@pytest.mark.parametrize("name", DATA)
def test_the_shortest_coding_is_chosen_and_undone(name):
    data, layout, expected = DATA[name]
    steps, coded = streams.encode(data, layout)
    assert streams.decode(coded, steps) == data
    if expected is not None:
        assert [step for step, _ in steps] == expected
    assert len(coded) <= len(data)
    assert len(coded) <= len(zlib.compress(data, 9))
    assert len(coded) <= len(lzma.compress(data, preset=6))


@pytest.mark.parametrize("p", [0.5, 0.2, 0.1, 0.05, 0.02, 0.005])
def test_a_mask_comes_near_its_entropy(p):
    _, coded = streams.encode(random_bits(50_000, p), "gaps")
    entropy = -(p * math.log2(p) + (1 - p) * math.log2(1 - p)) * 50_000
    assert len(coded) < 1.04 * entropy + 50


@pytest.mark.parametrize(("clusters", "layout"), [(3, "pack2"), (4, "pack2"), (16, "pack4"), (32, "pack5")])
def test_symbols_come_near_their_entropy(clusters, layout):
    generator = np.random.default_rng(0)
    symbols = (generator.normal(size=50_000) * clusters / 6 + clusters / 2).clip(0, clusters - 1).astype(np.uint8)
    _, coded = streams.encode(symbols.tobytes(), layout)
    p = np.bincount(symbols) / len(symbols)
    p = p[p > 0]
    assert len(coded) < 1.03 * -(p * np.log2(p)).sum() * 50_000 / 8 + 50


def test_a_stream_longer_than_the_sample_is_coded_whole():
    data = bytes(streams.SAMPLE) + random_symbols(streams.SAMPLE, 8) + bytes(streams.SAMPLE)
    steps, coded = streams.encode(data)
    assert streams.decode(coded, steps) == data


@pytest.mark.parametrize("step", ["huffman", "deflate", "lzma"])
def test_no_more_is_decoded_than_the_stated_length(step):
    bomb = streams.ENCODERS[step](bytes(5_000_000))
    assert streams.decode(bomb, [[step, 10]]) == bytes(10)
    for length in (0, -1, 1 << 48):  # to the libraries the first two mean: no limit
        with pytest.raises(ValueError, match="is not a length"):
            streams.decode(bomb, [[step, length]])


def test_every_step_can_be_undone():
    assert set(streams.ENCODERS) == set(streams.DECODERS)
