"""Rows of epochs, also after a kill."""

from effdl.epoch_log import EpochLog
from effdl.files import read_rows


def test_the_epoch_log_goes_back_to_the_checkpoint(tmp_path):
    path = tmp_path / "epochs.jsonl"
    first = EpochLog(path, "dense", 0)
    for epoch in (1, 2):
        first.append({"epoch": epoch})
    second = EpochLog(path, "prune", 1)
    second.restore([])
    for epoch in (1, 2, 3):
        second.append({"epoch": epoch})
    path.write_bytes(path.read_bytes()[:-5])  # killed within epoch 3's row
    second.restore([{"epoch": 1}])
    second.append({"epoch": 2})
    assert [(row["stage"], row["fit"], row["epoch"]) for row in read_rows(path)] == [
        ("dense", 0, 1),
        ("dense", 0, 2),
        ("prune", 1, 1),
        ("prune", 1, 2),
    ]
