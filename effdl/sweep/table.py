"""How the jobs of a sweep ended, as a table."""

import os
from pathlib import Path

from rich.text import Text

from effdl.measure.metrics import accuracies, metric, on_validation
from effdl.measure.units import UNKNOWN
from effdl.report.counts import counted
from effdl.report.table import metric_column
from effdl.runs.folder import DONE, FAILED, INTERRUPTED, STOPPED
from effdl.sweep.folder import SKIPPED
from effdl.utils.table import Column, Table

ACCURACY = "top1"
_VALIDATED = on_validation(ACCURACY)
_COLUMNS = ("size_bytes", "macs", "total_duration_s", "total_energy_kwh")
_CUT_OFF = "cut off"  # a job that began and of which nothing more was heard
STYLES = {DONE: "green", SKIPPED: "dim", STOPPED: "yellow", FAILED: "red", INTERRUPTED: "yellow", _CUT_OFF: "red"}


def status_of(job: dict) -> str:
    """How a job stands, by its newest row."""
    return job.get("status", _CUT_OFF)


def label(job: dict, keys: list[str]) -> str:
    """What tells a job from the others: its overrides of the swept keys."""
    own = [text for text in job["overrides"] if text.partition("=")[0].lstrip("+~") in keys]
    return " ".join(own) or UNKNOWN


def accuracy(row: dict) -> str:
    """Top-1, or what was measured instead of it."""
    key = accuracies(row)[0]
    return ("" if key == ACCURACY else f"{metric(key).label} ") + counted(metric(key).text(row[key]), key, row)


def sweep_table(jobs: list[dict], keys: list[str], folder: str) -> Table:
    """One row per job.

    Args:
        keys: those that are swept.
        folder: the sweep's.
    """
    jobs = sorted(jobs, key=lambda job: job["job"])
    rows = [job.get("row") or {} for job in jobs]
    validated = any(row.get(_VALIDATED) is not None for row in rows)
    measured = [metric(key) for key in (*([_VALIDATED] if validated else []), *_COLUMNS)]
    columns = [
        *(Column("job", right=True), Column("with", wraps=True), Column("status")),
        *map(metric_column, (metric(ACCURACY), *measured)),
        Column("folder", wraps=True, wanted=0),
    ]
    texts = []
    for job, row in zip(jobs, rows, strict=True):
        status = Text(status_of(job), STYLES.get(status_of(job), ""))
        cells = [accuracy(row) if row else UNKNOWN, *(entry.text(row.get(entry.key)) for entry in measured)]
        texts.append([str(job["job"]), label(job, keys), status, *cells, Path(job["folder"]).name])
    return Table(columns, texts, f"{len(jobs)} jobs", more=f"effdl report {folder} shows more")


def reasons(jobs: list[dict]) -> list[str]:
    """Why jobs did not end as they should, a line each."""
    jobs = sorted(jobs, key=lambda job: job["job"])
    return [f"job {job['job']} {status_of(job)}: {job['reason']}" for job in jobs if job.get("reason")]


def spent(key: str, jobs: list[dict]) -> str:
    """What those jobs cost that ran to their end, as text; empty if a part is unknown.

    What several copied from one run counts once: in that run, if it is among the jobs, else in the first copy. What was
    copied from a run that was skipped is none of theirs.
    """
    ran = [job for job in jobs if job.get("row") and job["status"] != SKIPPED]
    values = [job["row"][key] for job in ran]
    counted = {os.path.realpath(job["folder"]) for job in jobs if job.get("row")}
    again = 0.0
    for job in ran:
        for source, costs in job["row"].get("copied", {}).items():
            again += costs[key] if source in counted else 0.0
            counted.add(source)
    return "" if None in values else metric(key).text(sum(values) - again)


def summary(jobs: list[dict], total: int | None) -> str:
    """The jobs counted, and what those of this launch cost."""
    counts = {status: sum(status_of(job) == status for job in jobs) for status in STYLES}
    counts["not begun"] = (total or 0) - len(jobs)
    ran = [job for job in jobs if status_of(job) == DONE]
    text = ", ".join(f"{count} {status}" for status, count in counts.items() if count > 0) or "no job began"
    if ran:
        copied = sum(bool(job["row"].get("copied")) for job in ran)
        plural = "s" if copied > 1 else ""
        shared = f", of which {copied} copied their first training{plural} from others" if copied else ""
        text += f"; {spent('total_duration_s', jobs)}, {spent('total_energy_kwh', jobs) or 'energy not measured'}"
        text += f" in the runs that are done{shared}, without measuring them"
    return text
