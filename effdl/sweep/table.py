"""How the jobs of a sweep ended, as a table."""

from rich.table import Table
from rich.text import Text

from effdl.measure.metrics import accuracies, metric, on_validation
from effdl.measure.units import UNKNOWN
from effdl.runs.folder import DONE, FAILED, INTERRUPTED, STOPPED
from effdl.sweep.folder import SKIPPED

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
    return ("" if key == ACCURACY else f"{metric(key).label} ") + metric(key).text(row[key])


def sweep_table(jobs: list[dict], keys: list[str]) -> Table:
    """One row per job; `keys` are those that are swept."""
    table = Table(title="Sweep", title_justify="left")
    table.add_column("job", justify="right")
    table.add_column("with", overflow="fold")
    table.add_column("status")
    validated = any((job.get("row") or {}).get(_VALIDATED) is not None for job in jobs)
    columns = (*([_VALIDATED] if validated else []), *_COLUMNS)
    for key in (ACCURACY, *columns):
        table.add_column(metric(key).heading, justify="right")
    table.add_column("reason, or folder", overflow="fold")
    for job in sorted(jobs, key=lambda job: job["job"]):
        row, status = job.get("row") or {}, status_of(job)
        cells = [accuracy(row) if row else UNKNOWN, *(metric(key).text(row.get(key)) for key in columns)]
        end = job["folder"].rpartition("/")[2] if status in (DONE, SKIPPED) else job.get("reason") or UNKNOWN
        table.add_row(str(job["job"]), label(job, keys), Text(status, STYLES.get(status, "")), *cells, end)
    return table


def spent(key: str, rows: list[dict]) -> str:
    """The sum of a metric over rows as text; empty if a part is unknown."""
    values = [row[key] for row in rows]
    return "" if None in values else metric(key).text(sum(values))


def summary(jobs: list[dict], total: int | None) -> str:
    """The jobs counted, and what those of this launch cost."""
    counts = {status: sum(status_of(job) == status for job in jobs) for status in STYLES}
    counts["not begun"] = (total or 0) - len(jobs)
    ran = [job["row"] for job in jobs if status_of(job) == DONE]
    text = ", ".join(f"{count} {status}" for status, count in counts.items() if count > 0) or "no job began"
    if ran:
        text += f"; {spent('total_duration_s', ran)}, {spent('total_energy_kwh', ran) or 'energy not measured'}"
        text += " of training and evaluation in the runs that are done"
    return text
