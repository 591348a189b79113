"""Streams come back whole, in the shortest of several codings, and never longer than they say."""

import lzma
import math
import zlib

import numpy as np
import pytest

from effdl.models.storage import streams


def random_bits(count, p, seed=0):
    return np.packbits(np.random.default_rng(seed).random(8 * count) < p).tobytes()


def random_symbols(count, bits, seed=0):
    return np.random.default_rng(seed).integers(0, 1 << bits, count).astype(np.uint8).tobytes()


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
    for length in (0, -1, 10, 4_999_999, 5_000_001, 1 << 48):
        with pytest.raises(ValueError, match="wrong length"):
            streams.decode(bomb, [[step, length]])
    pieces = streams.decoded([bomb], [[step, 1_000_000]])
    assert sum(len(next(pieces)) for _ in range(1_000_000 // streams.PIECE)) <= 1_000_000
    with pytest.raises(ValueError, match="wrong length"):
        list(pieces)


@pytest.mark.parametrize("step", ["huffman", "deflate", "lzma"])
def test_a_code_ends_with_its_stream(step):
    data = random_symbols(200_000, 3)
    coded = streams.ENCODERS[step](data)
    for size in (1, 100, len(coded)):
        pieces = [coded[start : start + size] for start in range(0, len(coded), size)]
        assert b"".join(streams.decoded(pieces, [[step, len(data)]])) == data
        for wrong in (pieces[:-1], [*pieces, b"x"], [*pieces, coded], [*pieces[:-1], pieces[-1] + b"x"]):
            with pytest.raises((ValueError, zlib.error, lzma.LZMAError)):
                list(streams.decoded(wrong, [[step, len(data)]]))


POSSIBLE = [
    ("float32.3", 100, [], 100),
    ("float32.3", 100, [["huffman", 103_200]], 103_200),
    ("mask", 100, [["lzma", 710_000]], 710_000),
    ("mask", 100, [["deflate", 51], ["gaps", 50]], 50),
    ("mask", 5, [["gaps", 159]], 159),
    ("symbols.3", 6, [["pack3", 16]], 16),
    ("symbols.3", 5, [["lzma", 6], ["pack3", 9]], 9),
]
IMPOSSIBLE = [
    ("float32.3", 100, [["huffman", 103_201]]),
    ("mask", 100, [["lzma", 710_001]]),
    ("mask", 5, [["gaps", 160]]),
    ("mask", 18, [["gaps", 2]]),
    ("symbols.3", 6, [["pack3", 17]]),
    ("symbols.3", 6, [["pack3", 8]]),
    ("symbols.3", 6, [["pack4", 8]]),
    ("symbols.8", 6, [["pack8", 6]]),
    ("float32.3", 6, [["gaps", 6]]),
    ("float32.3", 6, [["lzma", 100], ["lzma", 1000]]),
    ("float32.3", 6, [["deflate", 100], ["huffman", 1000]]),
    ("mask", 6, [["gaps", 6], ["lzma", 100]]),
    ("mask", 6, [["gaps", 6], ["gaps", 6]]),
    ("mask", 6, [["raw", 6]]),
    *(("mask", 6, [["lzma", length]]) for length in (0, -1, True, 7.0, "7", None)),
]


@pytest.mark.parametrize(("stream", "coded", "steps", "length"), POSSIBLE)
def test_the_length_of_a_stream_is_known_before_it_is_decoded(stream, coded, steps, length):
    assert streams.decoded_length(stream, coded, steps) == length


@pytest.mark.parametrize(("stream", "coded", "steps"), IMPOSSIBLE)
def test_steps_that_the_encoder_does_not_make_are_refused(stream, coded, steps):
    with pytest.raises(ValueError, match=f"stream {stream}"):
        streams.decoded_length(stream, coded, steps)


@pytest.mark.parametrize("step", ["huffman", "deflate", "lzma"])
def test_no_honest_stream_is_beyond_the_largest_gain(step):
    for data in (bytes(1), bytes(30), bytes(40_000_000)):
        coded = streams.ENCODERS[step](data)
        assert streams.decoded_length("mask", len(coded), [[step, len(data)]]) == len(data)


def test_every_step_can_be_undone():
    assert set(streams.ENCODERS) == set(streams.DECODERS)


def test_long_streams_of_few_values_are_coded_almost_as_short_as_with_all_effort():
    """The highest bytes of normal weights of which the small ones were pruned: level 9 takes long there."""
    weights = np.random.default_rng(0).normal(size=9 << 20).astype(np.float32)
    highest = weights[np.abs(weights) > 1.64].view(np.uint8)[3::4].tobytes()
    assert len(highest) > streams.SAMPLE
    steps, coded = streams.encode(highest)
    assert streams.decode(coded, steps) == highest
    part = highest[: streams.SAMPLE // 8]
    assert len(coded) < 1.07 * len(zlib.compress(part, 9)) * len(highest) / len(part)
