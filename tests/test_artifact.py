"""The stored model: identical back, small, readable with common tools, and safe to open."""

import hashlib
import json
import lzma
import math
import random
import zlib

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from effdl import artifact
from effdl.errors import UserError

FLOATS = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn]
OTHERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool]
MODEL = {"config": {"_target_": "effdl.models.mlp.mlp", "hidden": [3], "width": 1.0}, "classes": 10, "text": "é"}


def bits(tensor):
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_identical(found, state):
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert bits(found[name]) == bits(tensor), name


def round_trip(tmp_path, state):
    path = tmp_path / "model.safetensors"
    length = artifact.write(path, state, MODEL)
    assert length == path.stat().st_size
    found, model = artifact.read(path)
    assert model == MODEL
    assert_identical(found, state)
    return path


def random_bits(generator, shape, dtype):
    """Any bits whatever: NaN payloads, infinities, subnormal numbers, -0.0."""
    width = dtype.itemsize
    values = torch.randint(0, 2 if dtype == torch.bool else 256, (math.prod(shape) * width,), generator=generator)
    return values.to(torch.uint8).view(dtype).reshape(shape)


# --- identical back


@pytest.mark.parametrize("dtype", FLOATS + OTHERS, ids=str)
def test_every_type_of_any_bits_shape_and_sparsity(tmp_path, dtype):
    generator = torch.Generator().manual_seed(0)
    state = {}
    for shape in [(), (0,), (1,), (7,), (3, 0, 2), (2, 3, 5), (64, 33), (4, 3, 3, 3)]:
        dense = random_bits(generator, shape, dtype)
        state[f"{shape}"] = dense
        state[f"{shape}.zero"] = torch.zeros_like(dense)
        keep = random_bits(generator, shape, torch.bool) & random_bits(generator, shape, torch.bool)
        state[f"{shape}.sparse"] = torch.where(keep, dense, torch.zeros_like(dense))
    round_trip(tmp_path, state)


@pytest.mark.parametrize("seed", range(40))
def test_any_mixture_of_tensors(tmp_path, seed):
    generator, choose = torch.Generator().manual_seed(seed), random.Random(seed)
    state = {}
    for number in range(choose.randint(0, 8)):
        dtype = choose.choice(FLOATS + OTHERS)
        shape = [choose.randint(0, 9) for _ in range(choose.randint(0, 4))]
        tensor = random_bits(generator, shape, dtype)
        zeroed = torch.rand(shape, generator=generator) < choose.choice([0, 0.02, 0.2, 0.5, 0.95, 1])
        state[f"layer{number}.ü"] = torch.where(zeroed, torch.zeros_like(tensor), tensor)
    round_trip(tmp_path, state)


def test_special_values(tmp_path):
    patterns = [0x80000000, 0x7FC00001, 0xFF800001, 0x7F800000, 1, 0x80000001, 0]
    values = torch.tensor(patterns, dtype=torch.int64).to(torch.int32).view(torch.float32)
    assert math.copysign(1, values[0].item()) == -1
    round_trip(tmp_path, {"a": values, "b": torch.cat([values, torch.zeros(100)])})


def test_strides_views_and_shared_memory(tmp_path):
    base = torch.randn(8, 6, 3, 3)
    state = {
        "channels_last": base.to(memory_format=torch.channels_last),
        "transposed": torch.randn(5, 7).T,
        "slice": torch.randn(10, 10)[::2, 3:7],
        "expanded": torch.randn(1, 4).expand(3, 4),
        "parameter": nn.Parameter(base),
        "tied": base,
    }
    found, _ = artifact.read(round_trip(tmp_path, state))
    assert all(tensor.is_contiguous() for tensor in found.values())
    found["tied"].zero_()  # writable, and no longer shared
    assert torch.equal(found["parameter"], base)


def test_a_model_with_batch_norm(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2)).half()
    round_trip(tmp_path, model.state_dict())


def test_nothing_at_all(tmp_path):
    round_trip(tmp_path, {})


def test_equal_models_give_equal_files(tmp_path):
    state = {"a": torch.randn(1000), "b": torch.arange(10)}
    artifact.write(tmp_path / "1", state, MODEL)
    artifact.write(tmp_path / "2", {name: tensor.clone() for name, tensor in state.items()}, dict(MODEL))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_streams_longer_than_the_sample_are_coded_whole(tmp_path):
    size = 3 * artifact.SAMPLE
    weight = torch.randn(size, generator=torch.Generator().manual_seed(0))
    weight[: size // 3] = 0.5  # unlike the middle, which decides the coding
    round_trip(tmp_path, {"weight": weight})


# --- small


def entropy(p):
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


@pytest.mark.parametrize("sparsity", [0.5, 0.9, 0.99])
def test_a_sparse_tensor_costs_its_values_and_the_entropy_of_its_mask(tmp_path, sparsity):
    count = 200_000
    weight = torch.randn(count, generator=torch.Generator().manual_seed(1))
    weight[torch.randperm(count, generator=torch.Generator().manual_seed(2))[: round(count * sparsity)]] = 0
    size = artifact.write(tmp_path / "x", {"weight": weight}, {})
    values = (1 - sparsity) * count * 4
    assert size <= values + count / 8 + 1000
    assert size <= values + 1.35 * entropy(sparsity) * count / 8 + 1000


def test_a_dense_model_is_smaller_than_its_numbers(tmp_path):
    weight = torch.randn(200_000, generator=torch.Generator().manual_seed(1)) * 0.05
    size = artifact.write(tmp_path / "x", {"weight": weight}, {})
    assert 0.8 * 4 * 200_000 < size < 0.95 * 4 * 200_000


def test_noise_is_never_made_larger(tmp_path):
    noise = random_bits(torch.Generator().manual_seed(0), (100_000,), torch.float32)
    assert artifact.write(tmp_path / "x", {"noise": noise}, {}) <= 400_000 + 1000


def test_an_all_zero_tensor_costs_next_to_nothing(tmp_path):
    assert artifact.write(tmp_path / "x", {"weight": torch.zeros(1000, 1000)}, {}) < 1500


# --- readable with common tools


def decode(path):
    """A reader written from the description of the format alone."""
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["effdl"])
        data = {}
        for name in file.keys():  # noqa: SIM118 (not a dict)
            assert file.get_tensor(name).dtype == np.uint8
            data[name] = file.get_tensor(name).tobytes()
    assert set(data) == set(header["streams"])
    undo = {"raw": bytes, "huffman": lambda data: zlib.decompress(data, wbits=-15), "xz": lzma.decompress}
    streams = {name: undo[codec](data[name]) for name, (codec, _) in header["streams"].items()}
    assert {name: len(stream) for name, stream in streams.items()} == {n: s for n, (_, s) in header["streams"].items()}
    at = dict.fromkeys(streams, 0)

    def take(name, count):
        at[name] += count
        return np.frombuffer(streams[name][at[name] - count : at[name]], np.uint8)

    state = {}
    for name, dtype, shape, kind in json.loads(take("index", len(streams["index"])).tobytes()):
        numel, width = math.prod(shape), {"float32": 4, "float16": 2, "int64": 8}[dtype]
        where = np.ones(numel, bool)
        if kind == "sparse":
            where = np.unpackbits(take("mask", (numel + 7) // 8))[:numel].astype(bool)
        count = int(where.sum())
        values = np.zeros((numel, width), np.uint8)
        if dtype.startswith("float"):
            for plane in range(width):
                values[where, plane] = take(f"{dtype}.{plane}", count)
        else:
            values[where] = take("bytes", count * width).reshape(count, width)
        state[name] = values.reshape(-1).view(dtype).reshape(shape)
    assert at == {name: len(stream) for name, stream in streams.items()}
    return state, header


def test_the_file_can_be_decoded_by_hand(tmp_path):
    state = {
        "sparse": torch.randn(50, 21) * (torch.rand(50, 21) < 0.2),
        "half": torch.randn(33).half(),
        "dense": torch.randn(40, 3),
        "count": torch.tensor(7),
        "zero": torch.zeros(100),
    }
    artifact.write(tmp_path / "x", state, MODEL)
    found, header = decode(tmp_path / "x")
    assert header["model"] == MODEL
    assert header["format"] == "model-1"
    assert {name: value.tobytes() for name, value in found.items()} == {n: bits(t) for n, t in state.items()}
    assert {name: value.shape for name, value in found.items()} == {n: tuple(t.shape) for n, t in state.items()}
    streams = b"".join(
        decoded for _, decoded in sorted((name, raw(tmp_path / "x", name)) for name in header["streams"])
    )
    covered = {key: value for key, value in header.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(covered, sort_keys=True).encode() + streams).hexdigest()
    assert header["sha256"] == digest


def raw(path, name):
    """One decoded stream."""
    with safe_open(path, framework="np") as file:
        codec, length = json.loads(file.metadata()["effdl"])["streams"][name]
        return artifact._uncode(codec, file.get_tensor(name).tobytes(), length)


def test_plain_safetensors_files_are_read_too(tmp_path):
    state = {"weight": torch.randn(3, 2), "scale": torch.ones(3, dtype=torch.bfloat16)}
    for metadata in (None, {"format": "pt"}):
        save_file(state, tmp_path / "plain", metadata)
        found, model = artifact.read(tmp_path / "plain")
        assert model == {}
        assert_identical(dict(sorted(found.items())), dict(sorted(state.items())))


# --- safe to open


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "model.safetensors"
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(60, 10, generator=generator)
    state = {"sparse": weight * (weight > 0.5), "dense": weight * 2, "number": torch.arange(40)}
    artifact.write(path, state, MODEL)
    return path, state


def test_no_such_file(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(UserError, match="no such model file"):
            artifact.read(path)


def test_a_truncated_file_is_refused(tmp_path, stored):
    data = stored[0].read_bytes()
    for length in [0, 1, 7, 8, 9, 100, len(data) // 2, len(data) - 1]:
        (tmp_path / "x").write_bytes(data[:length])
        with pytest.raises(UserError, match="x is damaged or not a stored model"):
            artifact.read(tmp_path / "x")


@pytest.mark.parametrize("garbage", [b"", b"\x80\x04K\x01.", b"PK\x03\x04" + bytes(100), bytes(100), b"\xff" * 100])
def test_something_else_altogether_is_refused(tmp_path, garbage):
    (tmp_path / "x").write_bytes(garbage)
    with pytest.raises(UserError, match="x is damaged or not a stored model"):
        artifact.read(tmp_path / "x")


def test_no_changed_byte_changes_the_model_unnoticed(tmp_path, stored):
    path, state = stored
    data, choose, survived = path.read_bytes(), random.Random(0), 0
    header = 8 + int.from_bytes(data[:8], "little")
    positions = [*choose.sample(range(header), 300), *choose.sample(range(header, len(data)), 100)]
    for position in positions:
        damaged = bytearray(data)
        damaged[position] ^= 1 << choose.randrange(8)
        (tmp_path / "x").write_bytes(damaged)
        try:
            found, model = artifact.read(tmp_path / "x")
        except UserError:
            continue
        survived += 1  # white space, a name's escape, what pads a coded stream: the content is the same
        assert model == MODEL, position
        assert_identical(found, state)
    assert survived < 10


def forge(source, target, change, *, signed=True):
    """Copy a stored model with its header and streams changed, and its checksum made right again."""
    tensors = load_file(source)
    with safe_open(source, framework="pt") as file:
        header = json.loads(file.metadata()["effdl"])
    change(header, tensors)
    if signed:
        streams = {
            name: artifact._uncode(codec, tensors[name].numpy().tobytes(), length)
            for name, (codec, length) in header["streams"].items()
        }
        header["sha256"] = artifact._digest(header, streams)
    save_file(tensors, target, {"effdl": json.dumps(header)})
    return target


def with_index(*entries):
    """A change that replaces the index."""

    def change(header, tensors):
        data = json.dumps(entries).encode()
        header["streams"]["index"] = ["raw", len(data)]
        tensors["index"] = torch.frombuffer(bytearray(data), dtype=torch.uint8)

    return change


def test_a_forger_can_sign_but_then_the_content_is_checked(tmp_path, stored):
    path, state = stored
    found, model = artifact.read(forge(path, tmp_path / "x", lambda header, tensors: None))
    assert model == MODEL
    assert_identical(found, state)


@pytest.mark.parametrize(
    "entry",
    [
        ["w", "float32", [10**6, 10**6], "dense"],
        ["w", "float32", [10**6, 10**6], "sparse"],
        ["w", "float32", [10**30], "dense"],
        ["w", "float32", [-1, -1], "dense"],
        ["w", "float32", [-8], "sparse"],
        ["w", "float32", [2000], "dense"],
        ["w", "float32", ["3"], "dense"],
        ["w", "float32", 3, "dense"],
        ["w", "float64", [3], "dense"],
        ["w", "int64", [10**9], "dense"],
        ["w", "no_such_type", [3], "dense"],
        ["w", "load", [3], "dense"],
        ["w", "float32", [3]],
        3,
    ],
)
def test_a_forged_index_is_refused(tmp_path, stored, entry):
    forged = forge(stored[0], tmp_path / "x", with_index(entry))
    with pytest.raises(UserError, match="x is damaged or not a stored model"):
        artifact.read(forged)


@pytest.mark.parametrize("length", [-1, 0, 1, 10**15, 10**30, None, "9", 1.5, [1]])
@pytest.mark.parametrize("codec", ["huffman", "xz", "raw"])
def test_a_forged_length_never_fills_the_memory(tmp_path, stored, codec, length):
    bomb = artifact.CODERS[codec](bytes(100_000_000 if codec == "xz" else 10_000_000))

    def change(header, tensors):
        header["streams"]["mask"] = [codec, length]
        tensors["mask"] = torch.frombuffer(bytearray(bomb), dtype=torch.uint8)

    forged = forge(stored[0], tmp_path / "x", change, signed=False)
    with pytest.raises(UserError, match="x is damaged or not a stored model"):
        artifact.read(forged)


@pytest.mark.parametrize("codec", ["huffman", "xz"])
def test_no_more_is_decoded_than_the_stated_length(codec):
    bomb = artifact.CODERS[codec](bytes(5_000_000))
    assert artifact._uncode(codec, bomb, 10) == bytes(10)
    for length in (0, -1):  # to the libraries these mean: no limit
        with pytest.raises(ValueError, match="is not a length"):
            artifact._uncode(codec, bomb, length)


@pytest.mark.parametrize(
    "change",
    [
        lambda header, tensors: header.pop("model"),
        lambda header, tensors: header.update(format="model-2"),
        lambda header, tensors: header.update(streams=[]),
        lambda header, tensors: header.update(streams={"index": 3}),
        lambda header, tensors: header["streams"].update(mask=["zip", 3]),
        lambda header, tensors: header["streams"].pop("index"),
        lambda header, tensors: tensors.pop("index"),
        lambda header, tensors: header.update(sha256=None),
    ],
)
def test_a_forged_header_is_refused(tmp_path, stored, change):
    forged = forge(stored[0], tmp_path / "x", change, signed=False)
    with pytest.raises(UserError, match="x is damaged or not a stored model"):
        artifact.read(forged)


def test_a_file_of_a_later_format_is_named(tmp_path, stored):
    forged = forge(stored[0], tmp_path / "x", lambda header, tensors: header.update(format="model-9"), signed=False)
    with pytest.raises(UserError, match="its format is model-9, this version reads model-1"):
        artifact.read(forged)


def test_a_changed_description_is_refused(tmp_path, stored):
    def change(header, tensors):
        header["model"]["config"]["_target_"] = "os.system"

    forged = forge(stored[0], tmp_path / "x", change, signed=False)
    with pytest.raises(UserError, match="the checksum does not agree"):
        artifact.read(forged)
