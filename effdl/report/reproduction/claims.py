"""What an experiment reports, against what runs of it measured: pure functions on plain values.

The key ``reported`` of an experiment's file is a list of sources, each with its values; papers stand here::

    reported:
      - source: Han et al. 2015, table 1
        paper: true
        values:
          - {stage: prune, metric: top1, value: 0.9841}

The JSON file beside it is one more source, our own runs::

    {
      "source": "2026-11-21, AMD EPYC, 2 threads, effdl 0.1.0, PyTorch 2.15.0",
      "seeds": [0, 1, 2],
      "data": "0a7f...",
      "values": [
        {"stage": "prune", "metric": "top1", "value": 0.9852, "tolerance": 0.0036},
        {"with": ["prune=0.5"], "stage": "prune", "metric": "top1", "relative_to": "dense", "value": -0.001},
        {"stage": "prune", "metric": "top1", "compared_with": ["prune=0.5"], "value": -0.02, "interval": [-0.03, -0.01]}
      ]
    }

A value is of a stage of the run (or of its ``total``), with the overrides `with` on top of the file; as a difference if
it is `relative_to` another stage, or `compared_with` the same stage under other overrides. One with a `tolerance` is
held against the mean over the `seeds`, and over the folds of a cross-validation; one without is only shown. A
difference that is no larger than its tolerance cannot hold: its sign could not be told. `interval` is the 95 % interval
of a mean over several of our runs.

What a paper says stands beside ours with a verdict of its own, which does not decide: whether what was measured agrees
with the paper is another question than whether our runs are reproduced. `data` is the fingerprint of the images, or a
list of them where runs are of different images.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from pydantic import Field, FiniteFloat

from effdl.config.identity import INCIDENTAL, essential
from effdl.config.types import Natural, NonNegative
from effdl.utils.errors import UserError, nearest
from effdl.utils.shapes import Shape, shaped


class _Value(Shape):
    """A value of a source."""

    stage: str
    metric: str
    value: FiniteFloat
    tolerance: NonNegative | None = None
    relative_to: str | None = None
    compared_with: list[str] | None = None
    interval: list[FiniteFloat] | None = Field(None, min_length=2, max_length=2)
    overrides: list[str] = Field(default_factory=list, alias="with")


class _Source(Shape):
    """A source and what it states."""

    source: str
    values: list[_Value]
    paper: bool = False
    seeds: list[Natural] = Field(default_factory=list)
    data: str | list[str] | None = None


TOTAL = "total"
HOLDS, FAILS, NO_RUN, UNCLEAR, SHOWN = "holds", "FAILS", "NO RUN", "unclear", "-"
AGREES, ABOVE, BELOW = "agrees", "above", "below"  # with, or compared to, a paper

# What may differ between a run and the experiment that it reproduces, besides the seed and where files are.
FREE = (
    *INCIDENTAL,
    "seed",
    "energy",
    "topk",
    "eval_batch_size",
    "dataset.workers",
    "dataset.memory_gb",
    "device.name",
    "device.threads",
    "device.compile",
    "device.channels_last",
    "device.runtime",
)


@dataclass(frozen=True)
class Claim:
    """One reported value."""

    source: str
    paper: bool
    seeds: tuple[int, ...]
    overrides: tuple[str, ...]
    stage: str
    metric: str
    relative_to: str | None
    value: float
    tolerance: float | None
    data: frozenset[str] = frozenset()
    compared_with: tuple[str, ...] | None = None
    interval: tuple[float, float] | None = None

    @property
    def subject(self) -> tuple:
        """What it is about: equal for two claims that can be compared."""
        return self.overrides, self.stage, self.metric, self.relative_to, self.compared_with

    @property
    def is_difference(self) -> bool:
        """Whether the value is a difference, to another stage or to other overrides."""
        return self.relative_to is not None or self.compared_with is not None

    @property
    def points(self) -> list[tuple[str, ...]]:
        """The overrides of the runs that it is about."""
        return [self.overrides, *([] if self.compared_with is None else [self.compared_with])]


def stated_claims(stated: dict[Path, Any]) -> list[Claim]:
    """The values that the files of an experiment state.

    Args:
        stated: the sources of each file, see `effdl.config.experiments.stated`.

    Raises:
        UserError: see `claims`.
    """
    return [claim for file, sources in stated.items() for claim in claims(sources, str(file))]


def claims(reported: Any, where: str) -> list[Claim]:
    """The values of a list of sources.

    Args:
        reported: the list.
        where: the file, for messages.

    Raises:
        UserError: it is not of the form above; names the key, its value and what is allowed.
    """
    shaped(reported, list[_Source], f"{where}: reported")
    return [
        Claim(
            source=group["source"],
            paper=group.get("paper", False),
            seeds=tuple(group.get("seeds", [])),
            overrides=tuple(row.get("with", [])),
            stage=row["stage"],
            metric=row["metric"],
            relative_to=row.get("relative_to"),
            value=row["value"],
            tolerance=row.get("tolerance"),
            data=frozenset([data] if isinstance(data := group.get("data") or [], str) else data),
            compared_with=None if (other := row.get("compared_with")) is None else tuple(other),
            interval=None if (ends := row.get("interval")) is None else tuple(ends),
        )
        for group in reported
        for row in group["values"]
    ]


def points(found: list[Claim]) -> list[tuple[str, ...]]:
    """The overrides under which values are reported, each once: one run, per seed, for each."""
    return list(dict.fromkeys(point for claim in found for point in claim.points))


def seeds_of(found: list[Claim]) -> list[int]:
    """The seeds over which the values are means; 0 if none says."""
    return sorted({seed for claim in found for seed in claim.seeds}) or [0]


def data_of(found: list[Claim]) -> set[str]:
    """The fingerprints of the images on which values were measured; empty if none says."""
    return {data for claim in found for data in claim.data}


def differing(config: dict, other: dict, same: Callable[[Any, Any], bool] = lambda mine, theirs: False) -> list[str]:
    """What makes two configs different experiments, apart from the keys in `FREE`, and steps that are off.

    Keys; of a node that only one of the two has, its name.

    Args:
        same: whether two values that are not equal mean the same, such as two paths of one model.
    """
    mine, theirs = (essential(_without_idle_steps(one)) for one in (config, other))
    nodes = [{".".join(key.split(".")[:2]) for key in flat} for flat in (mine, theirs)]
    found = []
    for key in mine | theirs:
        node = ".".join(key.split(".")[:2])
        free = any(f"{key}.".startswith(f"{name}.") for name in FREE)
        equal = (key in mine) == (key in theirs) and mine[key] == theirs[key]
        if not (free or equal or same(mine.get(key), theirs.get(key))):
            found.append(key if all(node in names for names in nodes) else node)
    return list(dict.fromkeys(found))


def _without_idle_steps(config: dict) -> dict:
    """A config without the compression steps that are off."""
    steps = config.get("compression")
    if not isinstance(steps, dict):
        return config
    on = {name: node for name, node in steps.items() if not isinstance(node, dict) or node.get("level")}
    return {**config, "compression": on}


def measured(claim: Claim, result: dict) -> float | None:
    """What a run's ``result.json`` says about a claim; None if it was not measured.

    Raises:
        UserError: the run has no such stage or metric.
    """
    value = _metric(result, claim.stage, claim.metric)
    if claim.relative_to is None:
        return value
    base = _metric(result, claim.relative_to, claim.metric)
    return None if value is None or base is None else value - base


def _metric(result: dict, stage: str, name: str) -> float | None:
    """One number of a result, as `measured` reads it."""
    stages = {row["stage"]: row for row in result["stages"]} | {TOTAL: result["total"]}
    if stage not in stages:
        raise UserError(
            f"reported: stage={stage} is no stage of the run{nearest(stage, stages)} (allowed: {', '.join(stages)})"
        )
    numbers = {key: value for key, value in stages[stage].items() if not isinstance(value, (str, dict))}
    if name not in numbers:
        raise UserError(f"reported: metric={name} is not a metric of {stage}{nearest(name, numbers)} "
                        f"(allowed: {', '.join(numbers)})")  # fmt: skip
    return numbers[name]


def compare(found: list[Claim], results: dict[tuple[str, ...], list[dict]]) -> list[dict]:
    """One row per subject: what is reported, what was measured (the mean over the runs), and whether it holds.

    A paper's value without a tolerance joins the row of our own about the same subject.

    Args:
        results: for the overrides of each point, the ``result.json`` of its runs; none: it was not run.
    """
    papers = {claim.subject: claim for claim in found if claim.paper}
    own = {claim.subject for claim in found if not claim.paper}
    shown = [c for c in found if not (c.paper and c.tolerance is None and c.subject in own)]
    return [
        _row(claim, papers.get(claim.subject), [results.get(point, []) for point in claim.points]) for claim in shown
    ]


def _row(claim: Claim, paper: Claim | None, results: list[list[dict]]) -> dict:
    """One claim held against the results of its runs, which are those of each of its points."""
    values, *others = [[measured(claim, result) for result in found] for found in results]
    value = _mean([values, *others])
    return {
        "with": list(claim.overrides),
        "stage": claim.stage,
        "metric": claim.metric,
        "relative_to": claim.relative_to,
        "compared_with": None if claim.compared_with is None else list(claim.compared_with),
        "reported": claim.value,
        "measured": value,
        "std": stdev(values) if value is not None and len(values) > 1 and not others else None,
        "runs": len(values),
        "difference": None if value is None else value - claim.value,
        "tolerance": claim.tolerance,
        "verdict": _verdict(claim, value, all(results)),
        "source": claim.source,
        "paper": paper and paper.value,
        "paper_source": paper and paper.source,
        "paper_verdict": beside_paper(value, paper, claim.tolerance),
    }


def _mean(measured: list[list[float | None]]) -> float | None:
    """The mean of the first values, less that of the second if there are any; None if one is missing."""
    if any(not values or None in values for values in measured):
        return None
    first, *second = map(fmean, measured)
    return first - sum(second)


def _verdict(claim: Claim, value: float | None, was_run: bool) -> str:
    """Whether a value is within the tolerance of a claim; what was not measured does not hold."""
    if claim.tolerance is None:
        return SHOWN
    if not was_run:
        return NO_RUN
    if value is None or abs(value - claim.value) > claim.tolerance:
        return FAILS
    return UNCLEAR if _too_small(claim, claim.tolerance) else HOLDS


def beside_paper(value: float | None, paper: Claim | None, tolerance: float | None) -> str:
    """Whether a value of ours agrees with a paper's, or is above or below it by more than a tolerance.

    Args:
        tolerance: of ours; the paper's own goes before.
    """
    tolerance = (paper and paper.tolerance) or tolerance
    if value is None or paper is None or tolerance is None:
        return SHOWN
    if abs(value - paper.value) > tolerance:
        return ABOVE if value > paper.value else BELOW
    return UNCLEAR if _too_small(paper, tolerance) else AGREES


def _too_small(claim: Claim, tolerance: float) -> bool:
    """Whether a difference is no larger than the tolerance, so that not even its sign can be told."""
    return claim.is_difference and abs(claim.value) <= tolerance


def holds(rows: list[dict]) -> bool:
    """Whether every value that is held against a tolerance is within it."""
    return all(row["verdict"] not in (FAILS, NO_RUN) for row in rows)
