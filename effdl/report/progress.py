"""Progress of a training: a live bar on a terminal, one plain line per epoch elsewhere."""

import logging
from time import perf_counter

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

log = logging.getLogger(__name__)
LIVE_INTERVAL_S, PLAIN_INTERVAL_S = 0.2, 2.0


class Progress:
    """Shows where a run stands. Reading the loss makes a GPU wait, so `due` says when it is worth it."""

    def __init__(self, console: Console):
        self.console = console
        self.name = ""
        self.bar: Bar | None = None
        self.epochs = self.done = 0
        self.next = 0.0

    def stage(self, name: str) -> None:
        """Name what comes next."""
        self.name = name

    def note(self, message: str) -> None:
        """A line that stays."""
        self.console.print(message, markup=False, highlight=False, soft_wrap=True)

    def start(self, epochs: int, done: int) -> None:
        """A training of so many epochs begins, of which some were done before."""
        self.epochs, self.done, self.next = epochs, done, 0.0
        if done:
            self.note(f"{self.name}: continuing after epoch {done} of {epochs}")
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
            self.bar.add_task(self.name, total=epochs, completed=done, text="")
            self.bar.start()

    def due(self) -> bool:
        """Whether it is time to show a batch."""
        return perf_counter() >= self.next

    def batch(self, step: int, steps: int, loss: float, top1: float, speed: float) -> None:
        """Show the state after a batch: mean loss and accuracy of the epoch so far, images per second."""
        self.next = perf_counter() + (LIVE_INTERVAL_S if self.bar else PLAIN_INTERVAL_S)
        if self.bar:
            text = f"epoch {min(self.done + 1, self.epochs)}/{self.epochs} batch {step}/{steps} "
            text += f"loss {loss:.3f} top-1 {top1:.3f} {speed:,.0f} img/s"
            self.bar.update(self.bar.task_ids[0], completed=self.done + step / steps, text=text)

    def epoch(self, row: dict) -> None:
        """An epoch is over; `row` is what ``epochs.jsonl`` got."""
        self.done = row["epoch"]
        log.info("%s: epoch %s/%s %s", self.name, row["epoch"], self.epochs, describe(row))
        if not self.bar:
            self.note(f"{self.name}: epoch {row['epoch']}/{self.epochs} {describe(row)}")

    def stop(self, rows: list[dict]) -> None:
        """The training is over, or broken off."""
        if self.bar:
            self.bar.stop()
            self.bar = None
            if rows:
                self.note(f"{self.name}: {len(rows)} epochs, the last with {describe(rows[-1])}")


def describe(row: dict) -> str:
    """An epoch's row in one line."""
    text = f"loss {row['loss']:.4f} top-1 {row['top1']:.4f}"
    if "val_top1" in row:
        text += f" | val loss {row['val_loss']:.4f} top-1 {row['val_top1']:.4f}"
    return f"{text} | {row['images_per_s']:,.0f} img/s {row['duration_s']:.1f} s"
