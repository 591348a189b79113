"""How a sweep goes, whatever processes its jobs run in: read from the file in which they report."""

import json
import threading
from contextlib import suppress
from pathlib import Path
from time import perf_counter

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from effdl.measure.metrics import metric
from effdl.runs.folder import FAILED
from effdl.sweep.folder import SKIPPED, jobs_of
from effdl.sweep.table import ACCURACY, STYLES, accuracy, label, spent, status_of

_INTERVAL_S = 0.5


class SweepProgress:
    """A thread that shows the jobs of a launch: a bar and the running jobs on a terminal, a line per ended job always.

    Args:
        jobs_file: where the jobs report.
        total: their number; None: not known.
        keys: those that are swept.
    """

    def __init__(self, console: Console, jobs_file: Path, total: int | None, keys: list[str]):
        self.console, self.file, self.total, self.keys = console, jobs_file, total, keys
        self.began, self.shown, self.over = perf_counter(), set(), threading.Event()
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[text]}")
        )
        self.task = self.bar.add_task("sweep", total=total, text="")
        self.live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "SweepProgress":
        if self.live:
            self.live.start()
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.thread.join()
        if self.live:
            self.live.stop()
        self._tell(jobs_of(self.file))

    def _watch(self) -> None:
        while not self.over.wait(_INTERVAL_S):
            jobs = jobs_of(self.file)
            self._tell(jobs)
            if self.live:
                self.live.update(self._picture(jobs), refresh=True)

    def _tell(self, jobs: list[dict]) -> None:
        """A line for every job that has ended since the last time."""
        for job in jobs:
            if "status" in job and job["job"] not in self.shown:
                self.shown.add(job["job"])
                line = _ending(job, label(job, self.keys), len(self.shown), self.total)
                self.console.print(line, highlight=False, soft_wrap=True)

    def _picture(self, jobs: list[dict]) -> Group:
        """The bar, and a line for every running job."""
        ended = [job for job in jobs if "status" in job]
        ran = [job for job in ended if job["status"] != SKIPPED]
        rows = [job["row"] for job in ran if job.get("row")]
        text = f"{len(ended)}/{self.total or '?'} jobs"
        if failed := sum(job["status"] == FAILED for job in ended):
            text += f", {failed} failed"
        if rows and (energy := spent("total_energy_kwh", rows)):
            text += f", {energy} so far"
        if ran and self.total:
            left = (perf_counter() - self.began) / len(ran) * (self.total - len(ended))
            text += f", {duration(left)} left"
        self.bar.update(self.task, completed=len(ended), text=text)
        running = [job for job in jobs if "status" not in job]
        return Group(self.bar, *(Text(f"  {label(job, self.keys)}: {where(Path(job['folder']))}") for job in running))


def _ending(job: dict, name: str, number: int, total: int | None) -> Text:
    """One line on how a job ended."""
    status = status_of(job)
    text = Text(f"{number}/{total or '?'} ").append(status, STYLES.get(status, "")).append(f" {name}")
    if row := job.get("row"):
        text.append(f": {accuracy(row)}, {spent('total_duration_s', [row])}")
    return text.append(f": {job['reason']}" if job.get("reason") else "")


def where(folder: Path) -> str:
    """The last epoch of a run that goes on."""
    with suppress(OSError, ValueError, IndexError):
        with (folder / "epochs.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 4096))
            row = json.loads(file.read().splitlines()[-1])
        known, shown = row.get(f"val_{ACCURACY}", row[ACCURACY]), metric(ACCURACY)
        return f"{row['stage']}, epoch {row['epoch']}, loss {row['loss']:.3f}, {shown.label} {shown.text(known)}"
    return "starting"


def duration(seconds: float) -> str:
    """``1:02:03``."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
