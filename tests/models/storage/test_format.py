"""The file can be read by somebody who has only its description (effdl/models/storage/README.md) and common tools."""

import hashlib
import json
import lzma
import math
import zlib

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from effdl.models import storage
from effdl.nn.fake_quant import QuantGrid

MODEL = {"config": {"_target_": "effdl.models.mlp.mlp", "hidden": [3], "width": 1.0}, "classes": 10, "text": "é"}


def raw_lzma(data):
    return lzma.decompress(data, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 8 << 20}])


def unpacked(data, bits, length):
    string = np.unpackbits(np.frombuffer(data, np.uint8))[: length * bits].reshape(length, bits)
    return (string @ (1 << np.arange(bits)[::-1])).astype(np.uint8).tobytes()


def without_gaps(data, length):
    string = []
    for byte in data:
        string += [0] * 255 if byte == 255 else [0] * byte + [1]
    assert string.pop() == 1
    return np.packbits(string).tobytes() if string else b""


def undo(step, data, length):
    if step in ("huffman", "deflate"):
        data = zlib.decompress(data, wbits=-15)
    elif step == "lzma":
        data = raw_lzma(data)
    elif step.startswith("pack"):
        data = unpacked(data, int(step[4:]), length)
    elif step == "gaps":
        data = without_gaps(data, length)
    elif step == "xz":
        data = lzma.decompress(data)
    else:
        assert step == "raw"
    assert len(data) == length
    return data


def open_file(path):
    """Metadata and byte tensors."""
    with safe_open(path, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        header = json.loads(file.metadata()["effdl"])
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.uint8)}
    return header, {name: tensor.tobytes() for name, tensor in tensors.items()}


def contents_2(path):
    """Model, index and decoded streams of format model-2."""
    header, files = open_file(path)
    assert header["format"] == "model-2"
    assert set(files) == {"index", "data"}
    assert hashlib.sha256(files["index"] + files["data"]).hexdigest() == header["sha256"]
    text = raw_lzma(files["index"])
    assert len(text) == header["index"]
    content, at, streams = json.loads(text), 0, {}
    for name, coded_length, steps in content["streams"]:
        streams[name] = files["data"][at : at + coded_length]
        at += coded_length
        for step, length in steps:
            streams[name] = undo(step, streams[name], length)
    assert at == len(files["data"])
    return content["model"], content["tensors"], streams


def decode(index, streams):
    """The tensors, with numpy."""
    at, state = dict.fromkeys(streams, 0), {}

    def take(name, count):
        if not count:
            return np.empty(0, np.uint8)
        at[name] += count
        return np.frombuffer(streams[name][at[name] - count : at[name]], np.uint8)

    def plain(dtype, count):
        width = np.dtype(dtype).itemsize
        if not dtype.startswith("float"):
            return take("bytes", count * width).view(dtype)
        planes = [take(f"{dtype}.{i}", count) for i in range(width)]
        return np.ascontiguousarray(np.stack(planes, axis=1)).reshape(-1).view(dtype)

    for name, dtype, shape, kind, *values in index:
        numel = math.prod(shape)
        where = np.ones(numel, bool)
        if kind == "sparse":
            where = np.unpackbits(take("mask", (numel + 7) // 8))[:numel].astype(bool)
        count = int(where.sum())
        if not values:
            flat = np.zeros(numel, dtype)
            flat[where] = plain(dtype, count)
        elif values[0] == "palette":
            flat = np.zeros(numel, dtype)
            bits = max(1, math.ceil(math.log2(values[1])))
            flat[where] = plain(dtype, values[1])[take(f"symbols.{bits}", count)]
        else:
            _, bits, scale_dtype, scale_shape = values
            scale = plain(scale_dtype, math.prod(scale_shape)).reshape(scale_shape)
            symbols = take(f"symbols.{bits}", count).astype(int)
            codes = np.zeros(numel, scale_dtype)
            codes[where] = 2 * symbols - 1 if bits == 1 else symbols - 2 ** (bits - 1)
            flat = (codes.reshape(shape) * scale).astype(dtype)
        state[name] = flat.reshape(shape)
    assert at == {name: len(stream) for name, stream in streams.items()}
    return state


def assert_same(found, state):
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert found[name].shape == tuple(tensor.shape), name
        assert found[name].tobytes() == tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(), name


def every_kind():
    """A state dict with all kinds of tensors, and the grids of some."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    few = torch.tensor([-0.7, 0.1, 0.3, 2.0, -5.0])
    chosen = few[torch.randint(5, (40, 50), generator=generator)]
    rare = torch.rand(40, 50, generator=generator) < 0.1
    state = {
        "sparse": torch.where(rare, normal(40, 50), 0.0),
        "half": normal(33).half(),
        "dense": normal(40, 3),
        "count": torch.tensor(7),
        "zero": torch.zeros(100),
        "empty": torch.zeros(0, 3),
        "dense palette": chosen,
        "sparse palette": torch.where(rare, chosen, 0.0),
        "half palette": chosen.half(),
        "flags": rare[0],
    }
    grids = {}
    for bits in range(1, 9):
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if bits > 1 else (0, 2)
        codes = torch.randint(low, high, (6, 5, 3, 3), generator=generator).float()
        codes = 2 * codes - 1 if bits == 1 else codes
        for name, scale in ((f"grid {bits}", torch.tensor(0.3)), (f"rows {bits}", normal(6, 1, 1, 1).abs())):
            state[name], grids[name] = codes * scale, QuantGrid(scale, bits)
        keep = torch.rand(6, 5, 3, 3, generator=generator) < 0.3
        name, scale = f"masked {bits}", torch.tensor(0.01)
        state[name], grids[name] = torch.where(keep, codes * scale, 0.0), QuantGrid(scale, bits)
    return state, grids


def test_the_file_can_be_decoded_by_hand(tmp_path):
    state, grids = every_kind()
    storage.write(tmp_path / "x", state, MODEL, grids)
    model, index, streams = contents_2(tmp_path / "x")
    assert model == MODEL
    assert_same(decode(index, streams), state)
    kinds = {name: [kind, *values[:2]] for name, _, _, kind, *values in index}
    assert kinds["dense"] == ["dense"]
    assert kinds["sparse"] == kinds["zero"] == ["sparse"]
    assert kinds["dense palette"] == kinds["half palette"] == ["dense", "palette", 5]
    assert kinds["sparse palette"] == ["sparse", "palette", 5]
    assert {name: kind for name, kind in kinds.items() if name in grids} == {
        name: ["sparse" if name.startswith("masked") else "dense", "grid", grid.bits] for name, grid in grids.items()
    }


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.97])
def test_long_streams_too(tmp_path, sparsity):
    """Long enough that every coder has a chance."""
    generator = torch.Generator().manual_seed(0)
    keep = torch.rand(200, 300, generator=generator) >= sparsity
    weight = torch.randn(200, 300, generator=generator)
    codes = (weight * 2.5).round().clamp(-8, 7) + 0.0
    state = {
        "plain": torch.where(keep, weight, 0.0),
        "grid": torch.where(keep, codes * 0.1, 0.0),
        "binary": torch.where(keep, weight.sign(), 0.0),
    }
    grids = {"grid": QuantGrid(torch.tensor(0.1), 4), "binary": QuantGrid(torch.tensor(1.0), 1)}
    storage.write(tmp_path / "x", state, MODEL, grids)
    _, index, streams = contents_2(tmp_path / "x")
    assert_same(decode(index, streams), state)


def test_plain_safetensors_files_are_read_too(tmp_path):
    state = {"scale": torch.ones(3, dtype=torch.bfloat16), "weight": torch.randn(3, 2)}
    for metadata in (None, {"format": "pt"}):
        save_file(state, tmp_path / "plain", metadata)
        found, model = storage.read(tmp_path / "plain")
        assert model == {}
        assert found.keys() == state.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
