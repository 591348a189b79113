"""The rows of many runs as points to draw: one per config and stage, the mean over its seeds."""

import json
from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean, stdev

from effdl.measure.costs import sum_or_none
from effdl.report.naming import SAMPLING, distinctions, flat_settings, sample_of
from effdl.report.plots.marks import kind

_LEVELS = ("prune", "factorize", "quantize", "distill")


@dataclass(frozen=True)
class Point:
    """One stage of one config with any number of seeds and folds."""

    kind: str
    config: dict
    rows: list[dict]

    @property
    def model(self) -> object:
        """The model, if it differs among the runs."""
        return flat_settings(self.config).get("model")

    def values(self, key: str) -> list[float]:
        """One number per seed and fold that it was measured with; the mean where one ran more than once."""
        seeds = defaultdict(list)
        for row in self.rows:
            if row.get(key) is not None:
                seeds[sample(row)].append(row[key])
        return [fmean(found) for found in seeds.values()]

    def mean(self, key: str) -> float | None:
        """Mean over the seeds; None if it was measured with none."""
        return fmean(values) if (values := self.values(key)) else None

    def spread(self, key: str) -> float:
        """Standard deviation over the seeds (n - 1 in the denominator); 0 for a single one, which has no error bar."""
        values = self.values(key)
        return stdev(values) if len(values) > 1 else 0.0


def points(rows: list[dict]) -> list[Point]:
    """The rows grouped by stage and by the settings that had an effect on it, seed and fold apart."""
    groups = defaultdict(list)
    configs = {}
    for row, config in zip(rows, effective(rows), strict=True):
        for name in SAMPLING:
            config.pop(name, None)
        key = json.dumps([kind(row), row["stage"], config], sort_keys=True)
        groups[key].append(row)
        configs[key] = config
    return [Point(kind(group[0]), configs[key], group) for key, group in groups.items()]


def averaged(found: list[Point], key: str) -> str | None:
    """What points and error bars are, over how many runs; None if each point is a single run."""
    runs = [len(point.values(key)) for point in found]
    if max(runs) == 1:
        return None
    counts = f"{min(runs)} to {max(runs)}" if min(runs) < max(runs) else f"{max(runs)}"
    return f"mean and standard\ndeviation of {counts} runs"


def sample(row: dict) -> tuple:
    """Which sample of its experiment a row is of: its seed and fold."""
    return row.get("seed"), *sample_of(row.get("config", {}))


def effective(rows: list[dict]) -> list[dict]:
    """For each row its config without steps that are off, and without those that came after it in its run."""
    runs = defaultdict(list)
    for row in rows:
        runs[row["run"]].append(row)
    found = []
    for row in rows:
        run = runs[row["run"]]
        before, after = run[: run.index(row) + 1], run[run.index(row) + 1 :]
        stages, methods = (
            {later[key] for later in after} - {done[key] for done in before} for key in ("stage", "method")
        )
        config = row["config"]
        off = {key.split(".")[1] for key in config if key.endswith(".level") and config[key] is None}
        off |= methods
        found.append(
            {
                key: value
                for key, value in config.items()
                if not (key in _LEVELS and (value is None or key in stages))
                and not (key.startswith("compression.") and key.split(".")[1] in off)
            }
        )
    return found


_SO_FAR = {"energy_so_far_kwh": "energy_kwh", "training_flops_so_far": "training_flops"}


def with_costs_so_far(rows: list[dict]) -> list[dict]:
    """The rows with ``energy_so_far_kwh`` and ``training_flops_so_far``: of all stages of their run up to each.

    A sum is None if a part is unknown. What it cost to measure the stages is not in it.
    """
    stages, found = defaultdict(list), []
    for row in rows:
        stages[row["run"]].append(row)
        sums = {key: sum_or_none(stage.get(cost) for stage in stages[row["run"]]) for key, cost in _SO_FAR.items()}
        found.append({**row, **sums})
    return found


def labels(points: list[Point]) -> list[str]:
    """A short name for each point: its method, if there are several, and what tells it from the others of its kind."""
    names = {}
    several = len({point.kind for point in points} - {"dense"}) > 1
    for name in {point.kind for point in points}:
        head = [name.rpartition(": ")[2]] if name != "dense" and several else []
        group = [point for point in points if point.kind == name]
        for point, told in zip(group, distinctions([flat_settings(point.config) for point in group]), strict=True):
            names[id(point)] = ", ".join([*head, *filter(None, [told])]) or name
    return [names[id(point)] for point in points]
