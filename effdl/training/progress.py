"""Progress of a run: a line per epoch, and on a terminal a live bar below them that says what goes on now."""

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from effdl.training.callbacks import Batch
from effdl.training.epoch_log import describe

_WIDE = 100  # columns of a terminal that has room for the bar itself, besides what it says
_BAR = 12  # columns of it
_TIMES = len("0:00:00 left 0:00:00")
_GAPS = 6  # blanks between the columns of the bar's line, and one at its end


class Progress:
    """A callback that shows where a run stands."""

    def __init__(self, console: Console):
        self.console = console
        self.stages: list[str] = []  # of the run, as far as it is known
        self.stage = ""
        self.bar: Bar | None = None
        self.status: Live | None = None  # what is shown while there is no bar
        self.epochs: int | None = None  # of the training that goes on
        self.done = 0
        self.validated = ""  # the validation accuracy of the last epoch

    def run_begin(self, stages: list[str]) -> None:
        """Know how many stages there will be."""
        self.stages = stages

    def stage_begin(self, stage: str) -> None:
        """Name what comes next."""
        self.stage = stage

    def message(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def training_begin(self, epochs: int, done: int) -> None:
        """Start the bar."""
        self.epochs, self.done, self.validated = epochs, done, ""
        if done:
            self.message(f"{self.stage}: continuing after epoch {done} of {epochs}")
        if self.console.is_terminal and done < epochs:
            columns = (
                TextColumn("{task.description}"),
                *([BarColumn(bar_width=_BAR)] if self.console.width >= _WIDE else []),
                TextColumn("{task.fields[text]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
            )
            self.bar = Bar(*columns, console=self.console, transient=True, refresh_per_second=5)
            self.bar.add_task(self._place(), total=epochs, completed=done, text="")
            self.bar.start()

    def batch_end(self, batch: Batch) -> None:
        """Move the bar."""
        if self.bar:
            completed = self.done + batch.step / batch.steps
            self.bar.update(self.bar.task_ids[0], completed=completed, text=self._text(batch))

    def epoch_end(self, row: dict) -> None:
        """A line about the epoch; none about those of an earlier process."""
        if self.epochs is None:
            return
        self.done = row["epoch"]
        line = f"{self.stage}: epoch {row['epoch']}/{self.epochs} {describe(row)}"
        while self.bar and len(line) > self.console.width and " | " in line:
            line = line.rpartition(" | ")[0]
        self.message(line)
        if "val_top1" in row:
            self.validated = f"val top-1 {row['val_top1']:.3f}"

    def training_end(self, rows: list[dict]) -> None:
        """Take the bar away."""
        self.epochs = None
        if self.bar:
            self.bar.stop()
            self.bar = None

    def measuring_begin(self, stage: str) -> None:
        """Say so, once and without a thread of its own, which would disturb what is timed."""
        if self.console.is_terminal and not self.status:
            self.status = Live(console=self.console, auto_refresh=False, transient=True)
            self.status.start()
            self.status.update(Text(f"{self._place()}: measuring"), refresh=True)

    def stage_end(self, row: dict) -> None:
        """The stage was measured."""
        self._clear()

    def run_end(self, status: str) -> None:
        """The run has ended, perhaps while it was measured."""
        self._clear()

    def _clear(self) -> None:
        if self.status:
            self.status.stop()
            self.status = None

    def _place(self) -> str:
        """The stage, and which of how many it is."""
        if len(self.stages) < 2 or self.stage not in self.stages:
            return self.stage
        return f"{self.stage} (stage {self.stages.index(self.stage) + 1} of {len(self.stages)})"

    def _text(self, batch: Batch) -> str:
        """Where the training stands, as much of it as leaves room for the times, the most wanted parts first."""
        parts = [
            f"epoch {min(self.done + 1, self.epochs)}/{self.epochs}",
            f"batch {batch.step}/{batch.steps}",
            f"loss {batch.loss:.3f}",
            "" if batch.top1 is None else f"top-1 {batch.top1:.3f}",
            self.validated,
            f"{batch.images_per_s:,.0f} img/s",
        ]
        room = self.console.width - len(self._place()) - (_BAR if self.console.width >= _WIDE else 0) - _TIMES - _GAPS
        kept: list[int] = []
        for part in (0, 4, 2, 3, 5, 1):
            if parts[part] and len(" ".join(parts[i] for i in [*kept, part])) <= room:
                kept.append(part)
        return " ".join(parts[i] for i in sorted(kept))
