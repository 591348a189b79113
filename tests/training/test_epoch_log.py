"""Rows of epochs, also after a kill."""

import logging

from effdl.training.epoch_log import EpochLog
from effdl.utils.rows import Rows


def row(epoch):
    return {"epoch": epoch, "loss": 1.0, "top1": 0.5, "images_per_s": 1.0, "duration_s": 1.0}


def test_the_epoch_log_goes_back_to_the_checkpoint(tmp_path):
    path = tmp_path / "epochs.jsonl"
    first = EpochLog(Rows(path, "run"), "dense", 0)
    for epoch in (1, 2):
        first.append(row(epoch))
    second = EpochLog(Rows(path, "run"), "prune", 1)
    second.restore([])
    for epoch in (1, 2, 3):
        second.append(row(epoch))
    path.write_bytes(path.read_bytes()[:-5])  # killed within epoch 3's row
    assert second.restore([row(1)]) == [{"stage": "prune", "fit": 1, **row(1)}]
    assert second.append(row(2))["fit"] == 1
    assert [(row["stage"], row["fit"], row["epoch"]) for row in Rows(path, "run").read()] == [
        ("dense", 0, 1),
        ("dense", 0, 2),
        ("prune", 1, 1),
        ("prune", 1, 2),
    ]


def test_epochs_without_a_checkpoint_are_named_before_they_are_repeated(tmp_path, caplog):
    log = EpochLog(Rows(tmp_path / "epochs.jsonl", "run"), "dense", 0)
    with caplog.at_level(logging.WARNING, "effdl"):
        for epoch in (1, 2, 3):
            log.append(row(epoch))
        log.restore([row(1), row(2)])  # as a kill between a row and its checkpoint leaves it
        assert caplog.messages == []
        log.restore([])
    assert caplog.messages == ["dense: no checkpoint of 2 epochs that were trained; they are repeated"]
