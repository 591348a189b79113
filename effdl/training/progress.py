"""Progress of a training: a live bar on a terminal, one plain line per epoch elsewhere."""

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from effdl.training.callbacks import Batch
from effdl.training.epoch_log import describe


class Progress:
    """A callback that shows where a run stands."""

    def __init__(self, console: Console):
        self.console = console
        self.stage = ""
        self.bar: Bar | None = None
        self.epochs: int | None = None  # of the training that goes on
        self.done = 0

    def stage_begin(self, stage: str) -> None:
        """Name what comes next."""
        self.stage = stage

    def message(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def training_begin(self, epochs: int, done: int) -> None:
        """Start the bar."""
        self.epochs, self.done = epochs, done
        if done:
            self.message(f"{self.stage}: continuing after epoch {done} of {epochs}")
        if self.console.is_terminal and done < epochs:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[text]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
            )
            self.bar = Bar(*columns, console=self.console, transient=True, refresh_per_second=5)
            self.bar.add_task(self.stage, total=epochs, completed=done, text="")
            self.bar.start()

    def batch_end(self, batch: Batch) -> None:
        """Move the bar."""
        if self.bar:
            text = f"epoch {min(self.done + 1, self.epochs)}/{self.epochs} batch {batch.step}/{batch.steps} "
            text += f"loss {batch.loss:.3f} top-1 {batch.top1:.3f} {batch.images_per_s:,.0f} img/s"
            self.bar.update(self.bar.task_ids[0], completed=self.done + batch.step / batch.steps, text=text)

    def epoch_end(self, row: dict) -> None:
        """A line about the epoch, where there is no bar; none about those of an earlier process."""
        if self.epochs is None:
            return
        self.done = row["epoch"]
        if not self.bar:
            self.message(f"{self.stage}: epoch {row['epoch']}/{self.epochs} {describe(row)}")

    def training_end(self, rows: list[dict]) -> None:
        """Take the bar away, and leave a line about the last epoch."""
        self.epochs = None
        if self.bar:
            self.bar.stop()
            self.bar = None
            if rows:
                self.message(f"{self.stage}: {len(rows)} epochs, the last with {describe(rows[-1])}")
