"""MLflow: one run in a tracking store, by default an SQLite file."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from effdl.training.loggers.scalars import scalars
from effdl.utils.errors import UserError

os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")  # read when MLflow is imported

try:  # this module is imported when a config names it: what is missing is told before any training
    import sqlalchemy  # noqa: F401 (mlflow-skinny leaves it out, and SQLite needs it)
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag
except ImportError as error:
    raise UserError(f"logger=mlflow: {error}; install it with: pip install 'effdl[mlflow]'") from error

logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table that it makes

_STATUS = {"done": "FINISHED", "interrupted": "KILLED", "stopped": "KILLED"}  # all else: FAILED


class Mlflow:
    """Logs config, epochs and stages of a run; a resumed run goes on in its MLflow run, found by the folder's path.

    Args:
        folder: the run folder, which becomes the tag ``effdl.folder``.
        uri: the tracking store; the folder of an SQLite file is made.
        experiment: the experiment that gets the run.
    """

    def __init__(
        self, folder: Path, config: dict, *, uri: str = "sqlite:///outputs/mlflow.db", experiment: str = "effdl"
    ):
        path, self.step = str(folder.absolute()), 0
        with _alone(uri) as store:
            self.client = MlflowClient(uri)
            number = self.experiment(experiment, store)
        found = self.client.search_runs([number], f"tags.`effdl.folder` = '{path}'", max_results=1)
        if found:
            self.run = found[0].info.run_id
            self.client.update_run(self.run, "RUNNING")
        else:
            self.run = self.client.create_run(number, run_name=folder.name, tags={"effdl.folder": path}).info.run_id
            params = [Param(key, str(value)[:6000]) for key, value in _flat(config).items()]
            for start in range(0, len(params), 100):  # the most that one call takes
                self.client.log_batch(self.run, params=params[start : start + 100])
        keys = found[0].data.metrics if found else {}
        self.known = {(key, row.step) for key in keys for row in self.client.get_metric_history(self.run, key)}

    def experiment(self, name: str, store: Path | None) -> str:
        """The id of an experiment, made if it is new; what MLflow stores beside an SQLite file goes to its folder."""
        if found := self.client.get_experiment_by_name(name):
            return found.experiment_id
        return self.client.create_experiment(name, (store.parent / "mlartifacts").as_uri() if store else None)

    def epoch_end(self, row: dict) -> None:
        """Log the row of an epoch."""
        self.step += 1
        self.log(scalars("epoch", row))

    def stage_end(self, row: dict) -> None:
        """Log the row of a stage."""
        self.log(scalars(row["stage"], row))

    def run_end(self, status: str) -> None:
        """End the MLflow run."""
        self.client.log_batch(self.run, tags=[RunTag("effdl.status", status)])
        self.client.set_terminated(self.run, _STATUS.get(status, "FAILED"))

    def log(self, numbers: dict[str, float]) -> None:
        """Log numbers that an earlier process has not logged."""
        now = int(time.time() * 1000)
        new = [(key, value) for key, value in numbers.items() if (key, self.step) not in self.known]
        self.client.log_batch(self.run, metrics=[Metric(key, value, now, self.step) for key, value in new])


@contextmanager
def _alone(uri: str) -> Iterator[Path | None]:
    """Hold a lock beside the SQLite file of a store: two that make its tables at a time disturb each other."""
    if not uri.startswith("sqlite:///"):
        yield None
        return
    store = Path(uri.removeprefix("sqlite:///")).absolute()
    store.parent.mkdir(parents=True, exist_ok=True)
    import fcntl  # not on Windows

    with store.with_name(f"{store.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield store


def _flat(config: dict, prefix: str = "") -> dict[str, object]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``."""
    found = {}
    for key, value in config.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
