"""How a sweep goes, whatever processes its jobs run in: read from the file in which they report."""

import json
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.text import Text

from effdl.measure.metrics import metric, on_validation
from effdl.measure.units import UNKNOWN
from effdl.report.table import metric_column
from effdl.runs.folder import FAILED
from effdl.sweep.folder import SKIPPED, jobs_of
from effdl.sweep.table import ACCURACY, STYLES, accuracy, label, spent, status_of
from effdl.utils.table import ALWAYS, Column, Table

_INTERVAL_S = 0.5
_BAR = 40  # the widest bar
_LOSS, _VALIDATED = metric("loss"), metric(on_validation(ACCURACY))


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
        """How many jobs have ended and what that cost, the bar, and a table of the running jobs."""
        ended = [job for job in jobs if "status" in job]
        ran = [job for job in ended if job["status"] != SKIPPED]
        text = f"{len(ended)}/{self.total or '?'} jobs"
        if failed := sum(job["status"] == FAILED for job in ended):
            text += f", {failed} failed"
        if any(job.get("row") for job in ran) and (energy := spent("total_energy_kwh", ended)):
            text += f", {energy} so far"
        if ran and self.total:
            left = (perf_counter() - self.began) / len(ran) * (self.total - len(ended))
            text += f", {duration(left)} left"
        bar = Padding(ProgressBar(self.total, len(ended), width=min(_BAR, self.console.width)), expand=False)  # a line
        running = [job for job in jobs if "status" not in job]
        return Group(Text(text), bar, *([running_table(running, self.keys)] if running else []))


def running_table(jobs: list[dict], keys: list[str]) -> Table:
    """The last epoch of every running job; `keys` are those that are swept."""
    columns = [
        *(Column("running", wraps=True), Column("stage"), Column("epoch", right=True, wanted=ALWAYS - 1)),
        *(metric_column(_LOSS), replace(metric_column(_VALIDATED), wanted=ALWAYS)),
    ]
    texts = []
    for job in jobs:
        row = last_epoch(Path(job["folder"]))
        cells = [entry.text(row.get(entry.key)) for entry in (_LOSS, _VALIDATED)]
        texts.append([label(job, keys), row.get("stage", "starting"), str(row.get("epoch", UNKNOWN)), *cells])
    return Table(columns, texts, constants=False, more="no room")


def _ending(job: dict, name: str, number: int, total: int | None) -> Text:
    """One line on how a job ended."""
    status = status_of(job)
    text = Text(f"{number}/{total or '?'} ").append(status, STYLES.get(status, "")).append(f" {name}")
    if row := job.get("row"):
        text.append(f": {accuracy(row)}, {metric('total_duration_s').text(row['total_duration_s'])}")
    return text.append(f": {job['reason']}" if job.get("reason") else "")


def last_epoch(folder: Path) -> dict:
    """The last row of a run's ``epochs.jsonl``; empty if it has none yet."""
    with suppress(OSError, ValueError, IndexError), (folder / "epochs.jsonl").open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - 4096))
        return json.loads(file.read().splitlines()[-1])
    return {}


def duration(seconds: float) -> str:
    """``1:02:03``."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
