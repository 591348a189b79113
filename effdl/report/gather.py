"""Run folders at any depth, as plain rows: one per run and measured stage. Standard library only."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from effdl.config.identity import essential
from effdl.measure.costs import spent
from effdl.measure.metrics import errors
from effdl.report.naming import LISTS, differing_keys, experiment_of, names, settings
from effdl.runs.folder import DONE, RUNNING, RunFolder
from effdl.runs.verify import verify
from effdl.utils.errors import UserError
from effdl.utils.processes import is_alive
from effdl.utils.rows import Rows

APART = ("teacher", "pretraining")  # stages of another model, and of one that does not classify yet
_KILLED = "killed"  # run.json says "running", but its process is gone


@dataclass
class Run:
    """One run folder, as far as it got.

    ``run`` is what run.json says, ``stages`` one row per measured stage, ``total`` the sums of a finished run (else
    empty).
    """

    path: Path
    run: dict
    stages: list[dict]
    total: dict

    @cached_property
    def files(self) -> RunFolder:
        """The folder's files."""
        return RunFolder(self.path)

    def epochs(self) -> list[dict]:
        """One row per training epoch; `gather` has checked the seals."""
        return Rows(self.files.epochs_file).read()

    def layers(self) -> list[dict]:
        """One row per stage and layer; `gather` has checked the seals."""
        return Rows(self.files.layers_file).read()

    @cached_property
    def config(self) -> dict[str, object]:
        """The config with dotted keys, incidental ones (`effdl.config.identity.INCIDENTAL`) left out."""
        return essential(self.run["config"])

    @cached_property
    def settings(self) -> dict[str, object]:
        """The config as a name tells it: ``model._target_`` is ``model``, and steps that are off are left out."""
        return settings(self.run["config"])

    @cached_property
    def experiment(self) -> frozenset:
        """What it has in common with other seeds and folds, see `effdl.report.naming.experiment_of`."""
        return experiment_of(self.config)

    def model_stages(self, stage: str | None) -> list[dict]:
        """The rows of stages that can be compared, those of the run's own classifier or one apart, up to this one."""
        apart = stage if stage in APART else None
        rows = [row for row in self.stages if (row["stage"] if row["stage"] in APART else None) == apart]
        names = [row["stage"] for row in rows]
        return rows[: names.index(stage) + 1] if stage in names else []

    @property
    def train_labels(self) -> int | None:
        """How many labelled images it trains on; None if an earlier version, which did not say, made it."""
        images = self.run.get("images")
        return images.get("train") if isinstance(images, dict) else None

    @property
    def overridden(self) -> set[str]:
        """The keys that were typed for the run, such as those that its sweep varies."""
        return {text.partition("=")[0].lstrip("+~") for text in self.run.get("overrides") or []}

    @property
    def status(self) -> str:
        """done, running, interrupted, failed, stopped, or ``killed``."""
        status = self.run["status"]
        return _KILLED if status == RUNNING and not is_alive(self.run) else status


@dataclass
class Gathered:
    """The run folders that were found, and the damaged ones with what is wrong with them."""

    runs: list[Run] = field(default_factory=list)
    damaged: list[tuple[Path, str]] = field(default_factory=list)


def gather(folders: list[Path]) -> Gathered:
    """All runs in these folders and below, each once, in the order of their paths.

    Raises:
        FileNotFoundError: a folder is not there.
    """
    found = Gathered()
    seen = set()
    for folder in folders:
        for path in _run_folders(Path(folder)):
            if (real := os.path.realpath(path)) in seen:
                continue
            seen.add(real)
            try:
                found.runs.append(_read_run(path))
            except UserError as error:
                found.damaged.append((path, str(error).removeprefix(f"{path}{os.sep}")))
    return found


def _run_folders(root: Path) -> Iterator[Path]:
    """Folders at any depth that hold a run.json; hidden ones are left out, links not followed."""
    if not root.is_dir():
        raise FileNotFoundError(root)
    for path, inner, files in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if "run.json" in files:
            yield Path(path)


def _read_run(path: Path) -> Run:
    """The run of a folder.

    Raises:
        UserError: a file is damaged, missing, or of another run: the message names it and says how.
    """
    folder = RunFolder(path)
    if not folder.run_file.stat().st_size:
        raise UserError("run.json is empty: the run is only beginning, or was killed as it began")
    run, result = verify(folder)
    if any(not isinstance(run["config"].get(group) or {}, dict) for group in LISTS):
        raise UserError("run.json is damaged: compression and augment must be objects")
    done = run["status"] == DONE
    found = Run(path, run, result["stages"] if done else folder.stages.read(), result["total"] if done else {})
    found.files = folder  # which knows the key of the seals by now
    return found


def rows(runs: list[Run]) -> list[dict]:
    """One flat row per run and stage, in order; a run that measured none has one row whose stage is None.

    Keys: those of the stage's row in ``stages.jsonl``, and ``folder``, ``name`` (what distinguishes the run),
    ``run`` (number, from 1), ``status``, ``seed``, ``dataset``, ``train_labels``, ``dense`` (whether it is the run's
    first training), ``config`` (the dotted keys that differ among the runs), ``compared_with`` (the first stage of the
    same model: ``dense``, but ``teacher`` and ``pretraining`` for those themselves), ``top1_change`` (to that stage,
    None for itself), ``error1`` and so on (see `metrics.errors`), and ``total_...`` (what all stages of a finished run
    cost and what measuring them did, see `effdl.measure.costs.spent`).
    """
    differing = differing_keys([run.config for run in runs])
    labels = _distinct(named(runs), [run.path for run in runs])
    found = []
    for number, (run, name) in enumerate(zip(runs, labels, strict=True), start=1):
        costs = spent(run.stages if run.status == DONE else [{}])
        head = {
            "run": number,
            "name": name,
            "folder": str(run.path),
            "status": run.status,
            "seed": run.config.get("seed"),
            "dataset": run.settings.get("dataset"),
            "train_labels": run.train_labels,
            "config": {key: run.config[key] for key in differing if key in run.config},
            **{f"total_{key}": value for key, value in costs.items()},
        }
        for row in run.stages or [{"stage": None, "method": None}]:
            base = next(iter(run.model_stages(row["stage"])), None)
            change = None if base is None or base["stage"] == row["stage"] else _difference(row, base)
            compared = {"compared_with": base and base["stage"], "top1_change": change}
            found.append({**head, **row, **head, "dense": row["stage"] == "dense", **compared, **errors(row)})
    return found


def named(runs: list[Run], without: tuple[str, ...] = ()) -> list[str]:
    """A name for each run, see `effdl.report.naming.names`."""
    swept = set().union(*(run.overridden for run in runs))
    return names([run.settings for run in runs], without, swept)


def _distinct(labels: list[str], paths: list[Path]) -> list[str]:
    """The labels, with the folder behind those that two runs share."""
    times = Counter(labels)
    return [name if times[name] == 1 else f"{name} ({path})" for name, path in zip(labels, paths, strict=True)]


def _difference(row: dict, base: dict) -> float | None:
    """Top-1 minus that of another stage."""
    values = (row.get("top1"), base.get("top1"))
    return None if None in values else values[0] - values[1]
