"""An offline W&B run, read from its file."""

import json
import struct
import time

import pytest

pytest.importorskip("wandb")
from wandb.proto import wandb_internal_pb2

from effdl.training.loggers.wandb import Wandb

BLOCK = 32768


def records(file):
    """The records of a ``.wandb`` file: LevelDB's log format behind seven bytes (doc/log_format.md of LevelDB)."""
    data, at, part = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := BLOCK - at % BLOCK) < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        part += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(part)
            yield record
            part = b""


def finished(file):
    """The records of a run that is over: the process that writes them may be behind by a moment."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        found = list(records(file))
        if any(record.WhichOneof("record_type") == "exit" for record in found):
            return found
        time.sleep(0.02)
    raise AssertionError(f"{file} has no end")


@pytest.mark.parametrize("before", [None, 4])
def test_every_number_once_offline(tmp_path, tell, before):
    if before:
        tell(logger := Wandb(tmp_path, {"seed": 3}), before)
        logger.run.finish(exit_code=1)
    tell(logger := Wandb(tmp_path, {"seed": 3}))
    assert logger.run.settings.mode == "offline"
    (file,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    history, config = {}, {}
    for record in finished(file):
        if record.WhichOneof("record_type") == "history":
            items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            history[record.history.step.num] = {key: value for key, value in items.items() if "/" in key}
        if record.WhichOneof("record_type") == "run":
            config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
    assert history == {
        1: {"epoch/loss": 2.0, "epoch/val_top1": 0.25},
        2: {"epoch/loss": 1.0, "epoch/val_top1": 0.5, "dense/top1": 0.5, "dense/size_bytes": 1000},
        3: {"epoch/loss": 1.5, "epoch/val_top1": 0.375, "prune/top1": 0.375, "prune/size_bytes": 600},
    }
    assert config["seed"] == 3
    assert file.stem == f"run-{(tmp_path / 'wandb' / 'id').read_text()}"
