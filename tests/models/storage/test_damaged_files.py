"""A stored model that was cut short, changed or forged is refused with one clear message, before it does any harm."""

import json
import random

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from effdl.models import storage
from effdl.models.storage.contents import digest
from effdl.models.storage.streams import ENCODERS, decode
from effdl.nn.fake_quant import QuantGrid
from effdl.utils.errors import UserError

MODEL = {"config": {"_target_": "effdl.models.mlp.mlp"}, "classes": 10}
READERS = [storage.read, storage.breakdown, storage.quant_grids]


def bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_same(found, state):
    assert list(found) == list(state)
    assert all(found[name].shape == tensor.shape for name, tensor in state.items())
    assert all(bits(found[name]) == bits(tensor) for name, tensor in state.items())


def refused(path, readers=READERS):
    for reader in readers:
        with pytest.raises(UserError, match="x is damaged or not a stored model"):
            reader(path)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A small model with a tensor of every kind."""
    path = tmp_path_factory.mktemp("stored") / "model.safetensors"
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(60, 10, generator=generator)
    codes = torch.randint(-4, 4, (12, 5), generator=generator).float()
    state = {
        "sparse": torch.where(weight > 0.5, weight, 0.0),
        "dense": weight * 2,
        "number": torch.arange(40),
        "palette": weight.sign() * 0.7,
        "grid": codes * 0.25,
        "masked": codes.clamp(min=0) * 0.5,
    }
    grids = {"grid": QuantGrid(torch.tensor(0.25), 3), "masked": QuantGrid(torch.tensor(0.5), 3)}
    storage.write(path, state, MODEL, grids)
    return path, state


def test_no_such_file(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        for reader in READERS:
            with pytest.raises(UserError, match="no such model file"):
                reader(path)


def test_a_plain_file_does_not_say_how_it_is_stored(tmp_path):
    save_file({"weight": np.ones(3)}, tmp_path / "x")
    for reader in (storage.breakdown, storage.quant_grids):
        with pytest.raises(UserError, match="x is a plain safetensors file"):
            reader(tmp_path / "x")


def test_a_truncated_file_is_refused(tmp_path, stored):
    data = stored[0].read_bytes()
    for length in [1, 7, 8, 9, *(len(data) * tenth // 10 for tenth in range(10)), len(data) - 1]:
        (tmp_path / "x").write_bytes(data[:length])
        refused(tmp_path / "x")


@pytest.mark.parametrize("garbage", [b"", b"\x80\x04K\x01.", b"PK\x03\x04" + bytes(100), bytes(100), b"\xff" * 100])
def test_something_else_altogether_is_refused(tmp_path, garbage):
    (tmp_path / "x").write_bytes(garbage)
    refused(tmp_path / "x")


def test_no_changed_byte_changes_the_model_unnoticed(tmp_path, stored):
    path = stored[0]
    state, model = storage.read(path)
    data, choose, survived = path.read_bytes(), random.Random(0), 0
    for position in choose.sample(range(len(data)), 400):
        damaged = bytearray(data)
        damaged[position] ^= 1 << choose.randrange(8)
        (tmp_path / "x").write_bytes(damaged)
        try:
            found, found_model = storage.read(tmp_path / "x")
        except UserError:
            continue
        survived += 1  # white space of the header: the content is the same
        assert found_model == model, position
        assert_same(found, state)
    assert survived < 10


# --- forged files: their checksum agrees


def forge(source, target, change=lambda content: None, *, files=None, header=None):
    """Copy a stored model with its index changed, `files` or `header` entries replaced, and signed again."""
    parts = load_file(source)
    with safe_open(source, framework="np") as file:
        metadata = json.loads(file.metadata()["effdl"])
    content = json.loads(decode(parts["index"].tobytes(), [["lzma", metadata["index"]]]))
    change(content)
    text = json.dumps(content).encode()
    data = {"index": ENCODERS["lzma"](text), "data": parts["data"].tobytes(), **(files or {})}
    metadata |= {"index": len(text), "sha256": digest(data["index"], data["data"]), **(header or {})}
    arrays = {name: np.frombuffer(part, np.uint8) for name, part in data.items()}
    save_file(arrays, target, {"effdl": json.dumps(metadata)})
    return target


def entry(name, values):
    """A change of the entry of one tensor."""

    def change(content):
        content["tensors"] = [[name, *values] if name == row[0] else row for row in content["tensors"]]

    return change


def test_a_forger_can_sign_but_then_the_content_is_checked(tmp_path, stored):
    path, state = stored
    found, model = storage.read(forge(path, tmp_path / "x"))
    assert model == MODEL
    assert_same(found, state)


SHAPE = [60, 10]
GRID = ["dense", "grid", 3, "float32", []]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("dense", ["float32", [10**6, 10**6], "dense"]),
        ("dense", ["float32", [10**30], "dense"]),
        ("dense", ["float32", [-60, -10], "dense"]),
        ("dense", ["float32", [-8], "dense"]),
        ("dense", ["float32", [59, 10], "dense"]),
        ("dense", ["float32", [61, 10], "dense"]),
        ("dense", ["float32", ["600"], "dense"]),
        ("dense", ["float32", [600.0], "dense"]),
        ("dense", ["float32", 600, "dense"]),
        ("dense", ["float32", None, "dense"]),
        ("dense", ["float64", SHAPE, "dense"]),
        ("dense", ["int32", SHAPE, "dense"]),
        ("dense", ["no_such_type", SHAPE, "dense"]),
        ("dense", ["load", SHAPE, "dense"]),
        ("dense", ["quint8", SHAPE, "dense"]),
        ("dense", ["float32", SHAPE, "sparse"]),
        ("dense", ["float32", SHAPE, "other"]),
        ("dense", ["float32", SHAPE]),
        ("dense", []),
        ("sparse", ["float32", [10**6, 10**6], "sparse"]),
        ("sparse", ["float32", [-600], "sparse"]),
        ("sparse", ["float32", SHAPE, "dense"]),
        ("number", ["int64", [10**9], "dense"]),
        ("number", ["int64", [80], "dense"]),
        ("palette", ["float32", SHAPE, "dense", "palette", 1]),  # a smaller palette: indices beyond it
        ("palette", ["float32", SHAPE, "dense", "palette", 0]),
        ("palette", ["float32", SHAPE, "dense", "palette", -1]),
        ("palette", ["float32", SHAPE, "dense", "palette", 3]),
        ("palette", ["float32", SHAPE, "dense", "palette", 10**9]),
        ("palette", ["float32", SHAPE, "dense", "palette", 2.0]),
        ("palette", ["float32", SHAPE, "dense", "palette"]),
        ("palette", ["float32", SHAPE, "dense", "codebook", 2]),
        ("grid", ["float32", [12, 5], "dense", "grid", 0, "float32", []]),
        ("grid", ["float32", [12, 5], "dense", "grid", 1, "float32", []]),
        ("grid", ["float32", [12, 5], "dense", "grid", 2, "float32", []]),
        ("grid", ["float32", [12, 5], "dense", "grid", 9, "float32", []]),
        ("grid", ["float32", [12, 5], "dense", "grid", -3, "float32", []]),
        ("grid", ["float32", [12, 5], "dense", "grid", 10**9, "float32", []]),
        ("grid", ["float32", [12, 5], "dense", "grid", "3", "float32", []]),
        ("grid", ["float32", [12, 5], "dense", "grid", 3, "float32", [10**9]]),
        ("grid", ["float32", [12, 5], "dense", "grid", 3, "float32", [-1, -1]]),
        ("grid", ["float32", [12, 5], "dense", "grid", 3, "no_such_type", []]),
        ("grid", ["float32", [12, 5], "dense", "grid", 3, "float32"]),
        ("grid", ["float32", [10**6, 10**6], *GRID]),
        ("grid", ["float32", [0], *GRID]),
        ("grid", ["load", [12, 5], *GRID]),
    ],
    ids=str,
)
def test_a_lying_index_is_refused(tmp_path, stored, name, values):
    refused(forge(stored[0], tmp_path / "x", entry(name, values)))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("tensors"),
        lambda content: content.pop("streams"),
        lambda content: content.pop("model"),
        lambda content: content["tensors"].pop(),
        lambda content: content["tensors"].append(content["tensors"][0]),
        lambda content: content["tensors"].append(["sparse", "float32", [0], "dense"]),  # the same name again
        lambda content: content["tensors"].append(3),
        lambda content: content["streams"].pop(),
        lambda content: content["streams"].append(content["streams"][0]),
        lambda content: content["streams"].reverse(),
        lambda content: content.update(streams={}),
        lambda content: content.update(tensors=None),
        lambda content: content.clear(),
    ],
)
def test_an_index_that_is_not_one_is_refused(tmp_path, stored, change):
    refused(forge(stored[0], tmp_path / "x", change))


def lone_stream(name, coded, steps):
    """A change after which the file holds one stream only."""
    return lambda content: content.update(streams=[[name, len(coded), steps]])


@pytest.mark.parametrize("length", [-1, 0, 1, 600, 10**15, 10**30, None, "9", 1.5, [1]])
@pytest.mark.parametrize("step", ["huffman", "deflate", "lzma", "raw", "pack3", "gaps", "xz"])
def test_a_forged_length_never_fills_the_memory(tmp_path, stored, step, length):
    bomb = ENCODERS.get(step, bytes)(bytes(10_000_000))
    change = lone_stream("mask", bomb, [[step, length]])
    refused(forge(stored[0], tmp_path / "x", change, files={"data": bomb}), [storage.read])


@pytest.mark.parametrize("steps", [[["zip", 3]], [["huffman"]], ["huffman", 3], 3, [["pack0", 3]], [["pack8", 3]]])
def test_forged_steps_are_refused(tmp_path, stored, steps):
    refused(forge(stored[0], tmp_path / "x", lone_stream("mask", b"abc", steps), files={"data": b"abc"}))


@pytest.mark.parametrize("coded", [[-1, 4], [2, 2], [4, 0], [10**30, 0], [3, None], [1.5, 1.5]])
def test_forged_coded_lengths_are_refused(tmp_path, stored, coded):
    def change(content):
        content["streams"] = [["a", coded[0], []], ["b", coded[1], []]]

    refused(forge(stored[0], tmp_path / "x", change, files={"data": b"abc"}))


@pytest.mark.parametrize(
    "header",
    [
        {"index": 10**15},
        {"index": 5},
        {"index": 0},
        {"index": None},
        {"format": None},
        {"format": "model-1"},
        {"sha256": None},
        {"sha256": "0" * 64},
    ],
    ids=str,
)
def test_a_forged_header_is_refused(tmp_path, stored, header):
    refused(forge(stored[0], tmp_path / "x", header=header))


def test_missing_and_additional_parts_are_refused(tmp_path, stored):
    parts = load_file(stored[0])
    with safe_open(stored[0], framework="np") as file:
        metadata = file.metadata()
    for names in (["index"], ["data"], []):
        save_file({name: parts[name] for name in names}, tmp_path / "x", metadata)
        refused(tmp_path / "x")
    save_file({**parts, "more": np.ones(3, np.uint8)}, tmp_path / "x", metadata)
    refused(tmp_path / "x")
    save_file(parts, tmp_path / "x", None)
    refused(tmp_path / "x")


def test_a_deeply_nested_index_is_refused(tmp_path, stored):
    text = b"[" * 100_000
    index = ENCODERS["lzma"](text)
    refused(forge(stored[0], tmp_path / "x", files={"index": index}, header={"index": len(text)}))


def test_a_file_of_a_later_format_is_named(tmp_path, stored):
    forged = forge(stored[0], tmp_path / "x", header={"format": "model-9"})
    with pytest.raises(UserError, match="its format is model-9, this version reads model-2"):
        storage.read(forged)


def test_a_changed_description_is_refused(tmp_path, stored):
    with safe_open(stored[0], framework="np") as file:
        checksum = json.loads(file.metadata()["effdl"])["sha256"]

    def change(content):
        content["model"]["config"]["_target_"] = "os.system"

    assert storage.read(forge(stored[0], tmp_path / "x", change))[1]["config"] == {"_target_": "os.system"}
    with pytest.raises(UserError, match="the checksum does not agree"):
        storage.read(forge(stored[0], tmp_path / "x", change, header={"sha256": checksum}))
