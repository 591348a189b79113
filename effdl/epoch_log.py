"""The rows of ``epochs.jsonl`` that one training writes."""

from collections.abc import Callable
from pathlib import Path

from effdl.files import append_row, read_rows, write_rows


class EpochLog:
    """The rows that one training writes to ``epochs.jsonl``, each marked with the stage and number of the training.

    `watch` is told of every row: those of an earlier process when they are restored, then each new one.
    """

    def __init__(self, path: Path, stage: str, fit: int, watch: Callable[[dict], None] = lambda row: None):
        self.path, self.mark, self.watch = path, {"stage": stage, "fit": fit}, watch

    def restore(self, rows: list[dict]) -> None:
        """Go back to a checkpoint's rows: later ones, and a row that a kill cut short, are dropped."""
        earlier = [row for row in read_rows(self.path) if row["fit"] < self.mark["fit"]]
        restored = [{**self.mark, **row} for row in rows]
        write_rows(self.path, earlier + restored)
        for row in restored:
            self.watch(row)

    def append(self, row: dict) -> None:
        """Add the row of an epoch."""
        append_row(self.path, {**self.mark, **row})
        self.watch({**self.mark, **row})
