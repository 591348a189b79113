"""Files of torch.save: tensors are read, and nothing in a file is executed."""

import argparse
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from effdl.models.torch_file import read
from effdl.utils.errors import UserError


class Touch:
    """Unpickled by a careless reader, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def state():
    return nn.Linear(3, 2).state_dict()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before PyTorch 1.6"])
@pytest.mark.parametrize(
    ("wrap", "notes"),
    [
        (lambda state: state, []),
        (lambda state: {"net": state, "acc": 94.5, "epoch": 3}, ["its net"]),
        (lambda state: {"model": {"state_dict": state}, "optimizer": {}}, ["its model", "its state_dict"]),
        (lambda state: {"epoch": torch.tensor(3), "model": state, "ema": state}, ["its model, not its ema"]),
    ],
)
def test_a_state_dict_is_found(tmp_path, state, wrap, notes, zipped):
    torch.save(wrap(state), tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    found = read(tmp_path / "w.pth")
    assert found.notes == notes
    assert list(found.tensors) == ["weight", "bias"]
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [lambda bad, state: bad, lambda bad, state: {"state_dict": state, "extra": [bad]}])
def test_code_in_a_file_is_not_run(tmp_path, state, wrap, zipped):
    touched = tmp_path / "touched"
    torch.save(wrap(Touch(touched), state), tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"w\.pth names code \((_io|io)\.open\), and none of a file is run") as caught:
        read(tmp_path / "w.pth")
    assert not touched.exists()
    assert "\n" not in str(caught.value)


def test_a_whole_model_is_refused_and_it_is_said_what_to_save(tmp_path):
    torch.save(nn.Sequential(nn.ReLU()), tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"ReLU.*torch\.save\(model\.state_dict\(\), 'weights\.pth'\)$"):
        read(tmp_path / "w.pth")


def test_objects_beside_the_tensors_are_named(tmp_path, state):
    torch.save({"state_dict": state, "args": argparse.Namespace(lr=1)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"names code \(argparse\.Namespace\)"):
        read(tmp_path / "w.pth")


@pytest.mark.filterwarnings("ignore")
def test_a_program_is_refused(tmp_path):
    torch.jit.script(nn.ReLU()).save(tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"TorchScript program, .* save its weights: .*state_dict\(\)"):
        read(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "it holds no state dict, but a list"),
        ({"epoch": 3}, "no state dict in it.*: it has epoch"),
        ({}, "it has nothing"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, r"a is torch\.complex64"),
        ({"a": torch.eye(2).to_sparse()}, r"a is torch\.float32 \(torch\.sparse_coo\)"),
        ({"a": torch.empty(2, device="meta")}, "a is a tensor without values"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match=message):
        read(tmp_path / "w.pth")


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    at = data.index(torch.full((1000,), 7.25).numpy().tobytes()) + 400
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "is damaged or not a file of torch.save"),
        (flipped, r"the checksum of its part .*data/0 does not agree"),
        (lambda data: b"hello", "it begins as no such file"),
        (lambda data: b"", "it begins as no such file"),
        (lambda data: data[:4] + bytes(100), "is damaged or not a file of torch.save"),
        (lambda data: b"\x80\x02" + bytes(100), "is damaged or not a file of torch.save"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, damage, message):
    torch.save({"a": torch.full((1000,), 7.25)}, tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes(damage((tmp_path / "w.pth").read_bytes()))
    with pytest.raises(UserError, match=message):
        read(tmp_path / "w.pth")


def edited(path: Path, edit) -> None:
    """Change the pickle in a file, with the checksums right."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, edit(data) if name.endswith("data.pkl") else data)


@pytest.mark.parametrize("size", [b"J\x00\x00\x00\x10", b"J\xff\xff\xff\x7f", b"\x8a\x08" + b"\xff" * 7 + b"\x0f"])
def test_a_tensor_larger_than_the_file_is_refused(tmp_path, size):
    """All its sizes and strides are 4 in this file; the last size is 2^60."""
    torch.save({"a": torch.zeros(4)}, tmp_path / "w.pth")
    edited(tmp_path / "w.pth", lambda data: data.replace(b"K\x04", size))
    with pytest.raises(UserError, match=r"is damaged or not a file of torch\.save"):
        read(tmp_path / "w.pth")


def test_other_archives_are_refused(tmp_path, state):
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(UserError, match=r"a zip archive, but not one of torch\.save"):
        read(tmp_path / "w.pth")
    torch.save(state, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(UserError, match="its parts are compressed"):
        read(tmp_path / "w.pth")
