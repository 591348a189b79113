"""Whatever a stored model claims: it is refused, or takes little more memory than the model, and time like its bytes.

Forged files come from a small grammar: an honest file with one thing changed, and signed again. Each is read in a
process of its own (a fork of one that has PyTorch loaded), whose largest memory the system reports.
"""

import json
import subprocess
import sys
from itertools import accumulate

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from effdl.models import storage
from effdl.models.mlp import mlp
from effdl.models.resnet import resnet
from effdl.models.storage.contents import digest
from effdl.models.storage.streams import ENCODERS, decode
from effdl.models.stored import load_model
from effdl.nn.fake_quant import QuantGrid
from effdl.utils.errors import UserError

MLP = {"option": "mlp", "hidden": [50], "width": 1.0, "batchnorm": False, "dropout": 0.0}
RESNET = {"option": "resnet", "depth": 8, "width": 1.0, "conv": "standard", "groups": 2, "dropout": 0.0}
IMAGES = {"channels": 1, "image_size": 8, "classes": 10}
SLACK = 48 << 20  # bytes: pieces of streams, the dictionaries of LZMA, modules, what Python keeps
SECONDS = 10

MEASURE = """
import json, os, resource, signal, sys
from effdl.models import storage
from effdl.models.stored import load_model, read_description
from effdl.utils.errors import UserError
import torch, torchvision

READERS = [[load_model], [read_description, storage.read, storage.breakdown, storage.quant_grids]]
resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))

def tried(reader, path):
    try:
        reader(path)
    except UserError as error:
        return 2 if "is damaged or not a stored model: " in str(error) else 3
    except BaseException as error:
        print(path, repr(error)[:300], file=sys.stderr)
        return 9
    return 0

def measured(readers, path):
    if not (pid := os.fork()):
        signal.alarm(60)
        os._exit(max([tried(reader, path) for reader in readers], default=0))
    _, status, usage = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_maxrss << 10, usage.ru_utime + usage.ru_stime

_, idle, _ = measured([], None)
for path in sys.stdin.read().split():
    found = [measured(readers, path) for readers in READERS]
    print(json.dumps([path, [(code, peak - idle, seconds) for code, peak, seconds in found]]), flush=True)
"""


def measure(paths):
    """By path, of `load_model` and of the other readers: exit code (0 read, 2 damaged), memory in bytes, seconds."""
    given = {"input": "\n".join(map(str, paths)), "text": True, "capture_output": True, "timeout": 3000}
    done = subprocess.run([sys.executable, "-c", MEASURE], **given)
    assert done.returncode == 0, done.stderr
    found = dict(map(json.loads, done.stdout.splitlines()))
    return {path: found[str(path)] for path in paths}, done.stderr


# --- the parts of a file, and files of parts


def parts_of(path):
    """The content of a file's index, and its coded streams by name."""
    parts = load_file(path)
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["effdl"])
    content = json.loads(decode(parts["index"].tobytes(), [["lzma", header["index"]]]))
    lengths = [length for _, length, _ in content["streams"]]
    data = parts["data"].tobytes()
    pieces = [data[end - length : end] for length, end in zip(lengths, accumulate(lengths), strict=True)]
    return content, {name: piece for (name, *_), piece in zip(content["streams"], pieces, strict=True)}


def file_of(path, content, coded, *, text=None, stated=None):
    """Write a file of these parts, with a checksum that agrees."""
    text = json.dumps(content).encode() if text is None else text
    index, data = ENCODERS["lzma"](text), b"".join(coded.values())
    header = {"format": "model-2", "index": len(text) if stated is None else stated, "sha256": digest(index, data)}
    arrays = {"index": np.frombuffer(index, np.uint8), "data": np.frombuffer(data, np.uint8)}
    save_file(arrays, path, {"effdl": json.dumps(header)})
    return path


def with_stream(content, coded, name, data, steps):
    """Replace a stream, or add one."""
    coded[name] = data
    rows = {row[0]: row for row in content["streams"]}
    content["streams"] = list((rows | {name: [name, len(data), steps]}).values())


# --- the grammar


def lengths():
    """Lengths of streams and steps, and of the index."""
    for factor in (0, 0.5, 1000, 10**9):
        for which in ("coded", "step"):

            def change(content, coded, factor=factor, which=which):
                row = next(row for row in content["streams"] if row[2])
                if which == "coded":
                    row[1] = int(row[1] * factor)
                else:
                    row[2][-1][1] = int(row[2][-1][1] * factor)

            yield f"{which} length x {factor}", change, {}
    for stated in (0, -1, 1, 10**9, 1 << 62, True, "9", [9]):
        yield f"index of {stated}", lambda content, coded: None, {"stated": stated}
    for name, text in {
        "brackets": b"[" * 3_000_000,
        "lists": b'{"model":[' + b"[]," * 1_000_000 + b"[]]}",
        "objects": b'{"model":[' + b"{}," * 1_000_000 + b"{}]}",
        "numbers": b'{"model":[' + b"1000," * 700_000 + b"1]}",
        "texts": b'{"model":[' + b'"ab",' * 700_000 + b"1]}",
        "space": b" " * 300_000_000,
    }.items():
        yield f"index of many {name}", lambda content, coded: None, {"text": text}


def steps():
    """Coders inside of coders, and coders in the wrong place. The bombs are real ones."""
    zeros = bytes(300_000_000)
    once = {name: ENCODERS[name](zeros) for name in ("lzma", "deflate", "gaps")}
    twice = {name: ENCODERS["lzma"](data) for name, data in once.items()}
    for stream in ("float32.3", "mask"):
        for name in once:
            inner = [["lzma", len(once[name])], [name, len(zeros)]]

            def change(content, coded, stream=stream, data=twice[name], steps=inner):
                with_stream(content, coded, stream, data, steps)

            yield f"{stream} by {name} in lzma", change, {}
    thrice = ENCODERS["deflate"](twice["lzma"])
    three = [["deflate", len(twice["lzma"])], ["lzma", len(once["lzma"])], ["lzma", len(zeros)]]
    yield "three coders", lambda content, coded: with_stream(content, coded, "float32.0", thrice, three), {}
    for name in ("lzma", "deflate"):
        for length in (600, len(zeros)):

            def change(content, coded, name=name, length=length):
                with_stream(content, coded, "float32.0", once[name], [[name, length]])

            yield f"{name} of {length}", change, {}


SHAPES = (
    [10**6, 10**6],
    [10**12],
    [1 << 47, 2],
    [0],
    [0, 1 << 47, 1 << 47],
    [-1, -1],
    [True, 1],
    [50.0, 64],
    "50",
    None,
)
SHAPES += ([1] * 100_000, [[50], 64], [10**4000])


def shapes():
    """Shapes of tensors, with and without streams that are as long as the shapes say."""
    for shape in SHAPES:

        def change(content, coded, shape=shape):
            content["tensors"][0][2] = shape

        yield f"shape {str(shape)[:30]}", change, {}
    for numel in (10**8, 4 * 10**9):  # a tensor of nothing but zeros, whose mask is coded honestly

        def change(content, coded, numel=numel):
            gaps = b"\xff" * (numel // 255) + bytes([numel % 255])
            steps = [["lzma", len(gaps)], ["gaps", numel // 8]]
            with_stream(content, coded, "mask", ENCODERS["lzma"](gaps), steps)
            content["tensors"].append(["zeros", "float32", [numel], "sparse"])

        yield f"a tensor of {numel} zeros", change, {}

    def many(content, coded):
        content["tensors"] += [[f"{number}", "uint8", [], "sparse"] for number in range(20_000)]

    yield "many tensors", many, {}


def kinds():
    """Dtypes, encodings and names of tensors."""
    for dtype in ("float64", "float16", "int32", "bool", "quint8", "complex64", "_dynamo", "load", "", None, 3, ["x"]):

        def change(content, coded, dtype=dtype):
            content["tensors"][0][1] = dtype

        yield f"dtype {dtype}", change, {}
    for values in (
        ["palette", 10**9],
        ["palette", True],
        ["grid", 8, "float32", [10**9]],
        ["grid", 8, "float32", [1, 1, 1]],
    ):

        def change(content, coded, values=values):
            content["tensors"][0] = [*content["tensors"][0][:4], *values]

        yield f"values {values}", change, {}
    for name in ("", "3.bias", "1.weight ", "\ud800", None, 3, ["1.weight"]):

        def change(content, coded, name=name):
            content["tensors"][0][0] = name

        yield f"name {name!r}", change, {}


def nested(depth):
    value = {}
    for _ in range(depth):
        value = {"a": [value]}
    return value


VALUES = (-1, 0, True, 10**9, 10**30, 1e9, float("nan"), float("inf"), "8", None, [], [8], {}, nested(300))


def descriptions():
    """The keys of the description, and of the model's config."""
    for key in (*IMAGES, "config", "structure"):
        for number, value in enumerate(VALUES):
            if value is None or (key, value) == ("structure", []):
                continue  # as if there was no structure

            def change(content, coded, key=key, value=value):
                content["model"][key] = value

            yield f"{key} is {number}: {str(value)[:20]}", change, {}
    for name, keys in {
        "hidden": {"hidden": [100_000_000_000]},
        "wide": {"hidden": [2**31 - 1, 2**31 - 1]},
        "long": {"hidden": [1] * 50_000},
        "width": {"width": 1e9},
        "width of a thousand": {"width": 1000.0},
        "dropout": {"dropout": float("nan")},
        "more": {"more": 1},
        "option": {"option": "resnet"},
        "code": {"option": "x", "_target_": "os.system"},
        "no code": {"option": "x", "_target_": ["effdl.models.mlp.mlp"]},
        "deep": {"hidden": nested(300)},
    }.items():

        def change(content, coded, keys=keys):
            content["model"]["config"] |= keys

        yield f"config: {name}", change, {}
    for config in (
        {"option": "vit", "patch": 4, "dim": 192, "depth": 10**9, "heads": 3, "mlp_ratio": 2.0, "dropout": 0.0},
        {"option": "vit", "patch": 4, "dim": 192, "depth": 1000, "heads": 3, "mlp_ratio": 1e300, "dropout": 0.0},
        {"option": "vit", "patch": 1, "dim": 2**31 - 1, "depth": 1, "heads": 1, "mlp_ratio": 1.0, "dropout": 0.0},
        {"option": "densenet", "depth": 994, "growth": 10**6, "dropout": 0.0},
        {"option": "torchvision", "name": "vit_h_14"},
        {"option": "torchvision", "name": "regnet_y_128gf"},
        {"option": "torchvision", "name": "vgg19"},
        {"option": "torchvision", "name": "../x"},
        {**RESNET, "width": 1000.0},
    ):

        def change(content, coded, config=config):
            content["model"] |= {"config": config, "image_size": 224}

        yield f"config {config}", change, {}


CONV = {"type": "torch.nn.Conv2d", "in_channels": 1 << 24, "out_channels": 1 << 24, "kernel_size": [1024, 1024]}
CONV |= {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1, "bias": True, "padding_mode": "zeros"}
RELU = {"type": "torch.nn.ReLU", "inplace": False}
PAD = {"type": "ZeroPadShortcut", "inputs": 1 << 24, "outputs": 20_000, "stride": 1, "sources": [1] * 20_000}


def structures():
    """Changes of the structure."""
    deep = RELU
    for _ in range(200):
        deep = {"type": "torch.nn.Sequential", "children": [["0", deep]]}
    for name, structure in {
        "huge": [{"name": "2", **CONV}],
        "the whole": [{"name": "", **CONV}],
        "many": [{"name": "2", **RELU}] * 900,
        "very many": [{"name": "2", **RELU}] * 50_000,
        "many children": [{"name": "2", "type": "torch.nn.Sequential", "children": [["0", RELU]] * 900}],
        "deep": [{"name": "2", **deep}],
        "sources": [{"name": "2", **PAD}],
        "another place": [{"name": "9.9", **RELU}],
        "no name": [RELU],
        "an odd name": [{"name": None, **RELU}],
        "a fraction": [{"name": "2", "type": "torch.nn.LeakyReLU", "negative_slope": float("nan"), "inplace": False}],
        "other inputs": [{"name": "1", "type": "torch.nn.Linear", "in_features": 63, "out_features": 50, "bias": True}],
        "no more logits": [{"name": "4", **RELU}],
        "wide": [{"name": "1", "type": "torch.nn.LayerNorm", "normalized_shape": [2] * 60, "eps": 1e-5}],
    }.items():

        def change(content, coded, structure=structure):
            content["model"]["structure"] = structure

        yield f"structure: {name}", change, {}


GRAMMAR = (lengths, steps, shapes, kinds, descriptions, structures)
HARMLESS = {"structure: many", "structure: many children"}
NOT_OURS = {"config: code"}  # which says so: it is not damaged


def claims(path):
    """The memory of the tensors that a file's index lists; 0 if it is refused."""
    try:
        with storage.opened(path) as file:
            return sum(entry.nbytes for entry in file.tensors.values())
    except UserError:
        return 0


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A small model, half of it zero."""
    torch.manual_seed(0)
    state = mlp(1, 8, 10, hidden=[50]).state_dict()
    state["1.weight"][25:] = 0
    path = tmp_path_factory.mktemp("honest") / "x"
    storage.write(path, state, {"stage": "dense", "config": MLP, **IMAGES, "structure": []})
    return path


@pytest.mark.parametrize("rules", GRAMMAR, ids=lambda rules: rules.__name__)
def test_forged_models_are_refused_before_they_take_anything(tmp_path, honest, rules):
    names = {}
    for number, (name, change, given) in enumerate(rules()):
        content, coded = parts_of(honest)
        change(content, coded)
        names[file_of(tmp_path / f"{number}", content, coded, **given)] = name
    assert len(names) == len(set(names.values()))
    found, errors = measure(names)
    room, wrong = claims(honest), []
    for path, name in names.items():
        (loaded, *_), (read, *_) = found[path]
        expected = 0 if name in HARMLESS else 3 if name in NOT_OURS else 2
        if loaded != expected or read not in (0, 2):
            wrong.append(f"{name}: {loaded}, {read}")
        for (code, peak, seconds), claimed in zip(found[path], [room, room + claims(path)], strict=True):
            if peak > 1.5 * claimed + SLACK or seconds > SECONDS:
                wrong.append(f"{name}: {code}, {peak >> 20} MiB, {seconds:.1f} s")
    print(f"{len(names)} files", max(run[1] >> 20 for runs in found.values() for run in runs), "MiB")
    assert not wrong, "\n".join([*wrong, errors[-3000:]])


# --- large models


def large(kind):
    """A model of 64 MiB of a kind (32 of halves), its description, and the grids of its weights."""
    torch.manual_seed(0)
    model, grids = mlp(1, 8, 10, hidden=[4000, 4000]), {}
    state = model.state_dict()
    for name, weight in state.items():
        if kind == "sparse":
            weight[torch.rand(weight.shape) < 0.9] = 0
        elif kind == "palette":
            weight.copy_((weight * 100).round() / 100)
        elif kind == "zero":
            weight.zero_()
        elif kind == "half":
            state[name] = weight.half()
        elif kind.startswith("grid") and weight.ndim > 1:
            scale = torch.rand(len(weight), 1) if kind == "grid by row" else torch.tensor(0.1)
            state[name], grids[name] = torch.randint(-8, 8, weight.shape) * scale, QuantGrid(scale, 4)
    config = {**MLP, "hidden": [4000, 4000]}
    return state, {"stage": "dense", "config": config, **IMAGES, "structure": []}, grids


@pytest.mark.slow
def test_large_models_take_their_own_memory_and_little_more(tmp_path):
    paths = {}
    for kind in ("dense", "sparse", "palette", "zero", "half", "grid", "grid by row"):
        state, model, grids = large(kind)
        storage.write(paths.setdefault(kind, tmp_path / kind.replace(" ", "_")), state, model, grids)
        loaded = load_model(paths[kind])
        assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in state.items())
    found, errors = measure(paths.values())
    print(
        {kind: [round((peak - SLACK) / claims(path), 2) for _, peak, _ in found[path]] for kind, path in paths.items()}
    )
    for kind, path in paths.items():
        for code, peak, _ in found[path]:
            assert code == 0, (kind, errors)
            assert peak < 1.5 * claims(path) + SLACK, (kind, peak >> 20)


def test_models_of_convolutions_are_read_too(tmp_path, honest):
    """A forged file's shape and an honest one's are told apart by the architecture, not by size."""
    config = {**RESNET, "depth": 20}
    model = resnet(1, 8, 10, depth=20)
    storage.write(tmp_path / "x", model.state_dict(), {"stage": "dense", "config": config, **IMAGES})
    assert all(map(torch.equal, load_model(tmp_path / "x").state_dict().values(), model.state_dict().values()))
    content, coded = parts_of(tmp_path / "x")
    content["model"]["config"]["depth"] = 32
    with pytest.raises(UserError, match="its tensors are not those of its architecture"):
        load_model(file_of(tmp_path / "y", content, coded))
