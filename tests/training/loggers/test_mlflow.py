"""An MLflow run in an SQLite file, read through MLflow's client and by plain SQL."""

import os
import sqlite3

import pytest

pytest.importorskip("mlflow")
pytest.importorskip("sqlalchemy")

from effdl.training.loggers.mlflow import Mlflow

EXPECTED = [
    ("dense/size_bytes", 2, 1000.0),
    ("dense/top1", 2, 0.5),
    ("epoch/loss", 1, 2.0),
    ("epoch/loss", 2, 1.0),
    ("epoch/loss", 3, 1.5),
    ("epoch/val_top1", 1, 0.25),
    ("epoch/val_top1", 2, 0.5),
    ("epoch/val_top1", 3, 0.375),
    ("prune/size_bytes", 3, 600.0),
    ("prune/top1", 3, 0.375),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """An SQLite file: its tables take seconds to make."""
    return tmp_path_factory.mktemp("store") / "outputs" / "mlflow.db"


@pytest.mark.parametrize("before", [0, 1, 4])
def test_every_number_once_also_after_a_resume(store, tmp_path, tell, before):
    config = {"seed": 0, "model": {"hidden": [300, 100]}}
    for events in [before, None] if before else [None]:
        logger = Mlflow(tmp_path, config, uri=f"sqlite:///{store}")
        tell(logger, events)
    with sqlite3.connect(store) as database:
        rows = database.execute("select key, step, value from metrics where run_uuid = ?", (logger.run,)).fetchall()
    assert sorted(rows) == EXPECTED
    run = logger.client.get_run(logger.run)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "0", "model.hidden": "[300, 100]"}
    assert run.data.tags["effdl.folder"] == str(tmp_path)
    assert run.data.tags["effdl.status"] == "done"


def test_nothing_is_told_to_others_nor_written_elsewhere(store, tmp_path, monkeypatch, tell):
    monkeypatch.chdir(tmp_path)
    tell(Mlflow(tmp_path, {}, uri=f"sqlite:///{store}"))
    assert list(tmp_path.iterdir()) == []
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == os.environ["DO_NOT_TRACK"] == "true"
