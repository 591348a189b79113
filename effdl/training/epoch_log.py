"""The rows of ``epochs.jsonl`` that one training writes."""

import logging

from effdl.utils.rows import Rows

log = logging.getLogger(__name__)


class EpochLog:
    """The rows that one training writes to ``epochs.jsonl``, each marked with the stage and number of the training."""

    def __init__(self, rows: Rows, stage: str, fit: int):
        self.rows, self.mark = rows, {"stage": stage, "fit": fit}

    def restore(self, rows: list[dict]) -> list[dict]:
        """Go back to a checkpoint's rows, and return them: later ones, and one that a kill cut short, are dropped."""
        found = self.rows.read()
        earlier = [row for row in found if row["fit"] < self.mark["fit"]]
        restored = [{**self.mark, **row} for row in rows]
        lost = sum(row["fit"] == self.mark["fit"] for row in found) - len(rows)
        if lost > 1:  # a kill between the row and the checkpoint of an epoch makes it 1
            log.warning("%s: no checkpoint of %d epochs that were trained; they are repeated", self.mark["stage"], lost)
        self.rows.write(earlier + restored)
        return restored

    def append(self, row: dict) -> dict:
        """Add the row of an epoch; returns it as it was written."""
        marked = {**self.mark, **row}
        self.rows.append(marked)
        log.info("%s: epoch %s %s", self.mark["stage"], row["epoch"], describe(row))
        return marked


def describe(row: dict) -> str:
    """An epoch's row in one line."""
    text = f"loss {row['loss']:.4f}"
    if row["top1"] is not None:
        text += f" top-1 {row['top1']:.4f}"
    if "val_top1" in row:
        text += f" | val loss {row['val_loss']:.4f} top-1 {row['val_top1']:.4f}"
    if "embedding_rank" in row:
        text += f" | neighbors' val top-1 {row['val_knn_top1']:.4f}"
        text += f" | embeddings' rank {row['embedding_rank']:.1f} deviation {row['embedding_std']:.3f}"
    return f"{text} | {row['images_per_s']:,.0f} img/s {row['duration_s']:.1f} s"
