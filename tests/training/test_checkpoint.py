"""Checkpoints: one intact state is always there, and nothing in a file is ever executed."""

import io
import logging
import os
import pickle

import pytest
import torch

from effdl.training.checkpoint import Checkpoint
from effdl.utils.errors import RunError, UserError


@pytest.fixture(params=["run", None])
def checkpoint(request, tmp_path):
    """Of a run with seals, and of one without."""
    return Checkpoint(tmp_path, 0, request.param)


def names(checkpoint):
    return sorted(os.listdir(checkpoint.newest.parent))


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def signed(checkpoint, payload):
    checkpoint.newest.write_bytes(checkpoint.head(payload) + payload)


def test_what_was_saved_comes_back(checkpoint):
    assert checkpoint.load() is None
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    state = {
        "rows": [{"epoch": 1, "loss": 0.1 + 0.2, "energy_kwh": None}],
        "finished": False,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": torch.amp.GradScaler("cpu", enabled=False).state_dict(),
        "best": None,
    }
    checkpoint.save(state)
    found = checkpoint.load()
    assert found["rows"] == state["rows"]
    assert found["optimizer"]["param_groups"] == state["optimizer"]["param_groups"]
    for name, tensor in state["model"].items():
        assert torch.equal(found["model"][name], tensor)
    momentum = optimizer.state_dict()["state"][0]["momentum_buffer"]
    assert torch.equal(found["optimizer"]["state"][0]["momentum_buffer"], momentum)


def test_two_checkpoints_are_kept(checkpoint, caplog):
    for epoch in range(4):
        checkpoint.save({"epoch": epoch})
    assert names(checkpoint) == ["checkpoint.0.previous.pt", "checkpoint.0.pt"]
    assert checkpoint.load() == {"epoch": 3}
    checkpoint.newest.unlink()  # what a kill between the rename and the write leaves behind
    with caplog.at_level(logging.WARNING, "effdl"):
        assert checkpoint.load() == {"epoch": 2}
    assert caplog.messages == ["checkpoint.0.pt is missing; going back to the state before it"]
    checkpoint.previous.unlink()
    assert checkpoint.load() is None


def test_trainings_do_not_share_their_checkpoints(tmp_path):
    for number in (0, 1):
        Checkpoint(tmp_path, number, "run").save({"number": number})
    assert Checkpoint(tmp_path, 0, "run").load() == {"number": 0}


def test_a_damaged_one_is_reported_and_the_one_before_it_used(checkpoint, caplog):
    checkpoint.save({"epoch": 1})
    checkpoint.save({"epoch": 2})
    damage(checkpoint.newest)
    with caplog.at_level(logging.WARNING, "effdl"):
        assert checkpoint.load() == {"epoch": 1}
    assert [record.getMessage() for record in caplog.records] == [
        "checkpoint.0.pt is damaged; going back to the state before it"
    ]


@pytest.mark.parametrize(("run", "number"), [("another", 0), ("run", 1)])
def test_one_of_another_run_or_training_is_refused(tmp_path, run, number):
    own, other = Checkpoint(tmp_path, 0, "run"), Checkpoint(tmp_path, number, run)
    own.save({"epoch": 1})
    own.check()
    other.save({"epoch": 9})
    own.newest.write_bytes(other.newest.read_bytes())
    for look in (own.check, own.load):
        with pytest.raises(UserError, match=r"checkpoint\.0\.pt is of another run or training: delete it"):
            look()
    own.newest.unlink()
    own.save({"epoch": 2})
    assert own.load() == {"epoch": 2}


@pytest.mark.parametrize("content", [b"", b"x", bytes(31), bytes(32), bytes(1000)])
def test_a_truncated_or_empty_one_too(checkpoint, content):
    checkpoint.save({"epoch": 1})
    checkpoint.save({"epoch": 2})
    checkpoint.newest.write_bytes(content)
    assert checkpoint.load() == {"epoch": 1}


def test_both_damaged(checkpoint, caplog):
    checkpoint.save({"epoch": 1})
    checkpoint.save({"epoch": 2})
    damage(checkpoint.newest)
    damage(checkpoint.previous)
    with caplog.at_level(logging.WARNING, "effdl"):
        assert checkpoint.load() is None
    assert len(caplog.records) == 2


def test_a_damaged_one_never_takes_the_place_of_a_good_one(checkpoint, monkeypatch):
    checkpoint.save({"epoch": 1})
    checkpoint.save({"epoch": 2})
    damage(checkpoint.newest)
    assert checkpoint.load() == {"epoch": 1}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device"):
        checkpoint.save({"epoch": 2})
    assert checkpoint.load() == {"epoch": 1}


def test_a_full_disk_leaves_the_checkpoint_before_it(checkpoint, monkeypatch):
    checkpoint.save({"epoch": 1})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"cannot write .*checkpoint\.0\.pt: No space left on device"):
        checkpoint.save({"epoch": 2})
    assert names(checkpoint) == ["checkpoint.0.previous.pt"]
    assert checkpoint.load() == {"epoch": 1}


class Payload:
    """What an attacker would store: code that runs when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def pickled(value):
    return pickle.dumps(value)


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("pack", [pickled, saved])
def test_code_in_a_file_with_a_right_checksum_is_not_run(checkpoint, tmp_path, pack):
    signed(checkpoint, pack({"rows": [], "model": Payload(tmp_path / "executed")}))
    with pytest.raises(RunError, match=r"checkpoint\.0\.pt holds what may not be loaded"):
        checkpoint.load()
    assert not (tmp_path / "executed").exists()
    assert checkpoint.newest.exists()


@pytest.mark.parametrize("payload", [b"", b"PK\x03\x04", b"rubbish", saved({"a": torch.zeros(3)})[:-30]])
def test_rubbish_with_a_right_checksum_is_refused(checkpoint, payload):
    signed(checkpoint, payload)
    with pytest.raises(RunError, match="holds what may not be loaded"):
        checkpoint.load()
