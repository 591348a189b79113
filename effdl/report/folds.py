"""Cross-validation as a table: the mean accuracy over the folds of each config, and how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from effdl.measure.metrics import accuracies, metric, on_validation
from effdl.measure.student_t import mean_interval
from effdl.measure.units import UNKNOWN
from effdl.utils.table import Column, Table

NOTE = (
    "95 % interval of the mean: Student's t over the folds. It is rather too narrow: folds share training images, and"
    " no unbiased estimate of the variance of their mean exists (Bengio & Grandvalet 2004)"
)


@dataclass(frozen=True)
class CrossValidated:
    """One config with the measures of its runs.

    Attributes:
        label: what tells it from the others.
        rows: the fold that each run was validated on, whatever stands for it, and the row of a stage of the run.
    """

    label: str
    rows: Sequence[tuple[object, dict]]

    @property
    def folds(self) -> set[object]:
        """The folds of which there is a run."""
        return {fold for fold, _ in self.rows}


def folds_table(found: Sequence[CrossValidated]) -> Table | None:
    """One row per config: folds and seeds, mean, standard deviation and interval; None if none has several folds.

    The accuracy is that on the validation split, whatever the run measured (top-1, if it did): a fold is held out for
    it, and the test split is left alone. Of several seeds in a fold, their mean is the fold's value.
    """
    if not any(len(entry.folds) > 1 for entry in found):
        return None
    rows = [row for entry in found for _, row in entry.rows]
    key = on_validation(accuracies(rows[0])[0])
    headings = ("folds", "runs", "mean", "standard deviation", "95 % interval")
    columns = [Column("with", wraps=True), *(Column(heading, right=True) for heading in headings)]
    texts = [[entry.label, *_cells(entry, key)] for entry in found]
    return Table(columns, texts, f"Cross-validation: {metric(key).label} over the folds", constants=False)


def _cells(entry: CrossValidated, key: str) -> list[str]:
    """What is known of one config."""
    by_fold: dict[object, list[float]] = {}
    for fold, row in entry.rows:
        if row.get(key) is not None:
            by_fold.setdefault(fold, []).append(row[key])
    values, text = [mean(found) for found in by_fold.values()], metric(key).text
    counts = [str(len(values)), str(sum(map(len, by_fold.values())))]
    if len(values) < 2:
        return [*counts, *map(text, values), *[UNKNOWN] * (3 - len(values))]
    low, high = mean_interval(values)
    return [*counts, text(mean(values)), text(stdev(values)), f"{text(max(0.0, low))} to {text(min(1.0, high))}"]
