"""TensorBoard event files, read by TensorBoard."""

import pytest

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

from effdl.training.loggers.tensorboard import TensorBoard  # noqa: E402

EXPECTED = {
    "epoch/loss": [(1, 2.0), (2, 1.0), (3, 1.5)],
    "epoch/val_top1": [(1, 0.25), (2, 0.5), (3, 0.375)],
    "dense/top1": [(2, 0.5)],
    "dense/size_bytes": [(2, 1000.0)],
    "prune/top1": [(3, 0.375)],
    "prune/size_bytes": [(3, 600.0)],
}


def read(folder):
    events = accumulator.EventAccumulator(str(folder / "tensorboard")).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_every_number_once(tmp_path, tell):
    tell(TensorBoard(tmp_path, {}))
    assert read(tmp_path) == EXPECTED


@pytest.mark.parametrize("before", [1, 3, 4])
def test_a_resumed_run_has_no_epoch_twice(tmp_path, tell, before):
    tell(TensorBoard(tmp_path, {}), before)  # then it was killed
    tell(TensorBoard(tmp_path, {}))
    assert read(tmp_path) == EXPECTED
