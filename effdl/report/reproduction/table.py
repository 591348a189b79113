"""The table of a reproduction: reported, measured, difference, verdict."""

from collections.abc import Sequence

from rich.text import Text

from effdl.measure.metrics import metric
from effdl.measure.units import UNKNOWN
from effdl.report.reproduction.claims import FAILS, NO_RUN
from effdl.utils.table import Column, Table


def shown(value: float | None, key: str, signed: bool = False) -> str:
    """A value of a metric, or a difference of two: of fractions in percentage points."""
    if value is None:
        return UNKNOWN
    if signed:
        return metric(key).unit.difference(value)
    return ("-" if value < 0 else "") + metric(key).text(abs(value))


def subtracted(relative_to: str | None, compared_with: Sequence[str] | None) -> str:
    """What a difference is to, such as ``dense`` or ``(prune=0.5)``; empty if it is none."""
    other = None if compared_with is None else f"({' '.join(compared_with) or 'no override'})"
    return " of ".join(part for part in (relative_to, other) if part)


def reproduction_table(rows: list[dict], title: str) -> Table:
    """One row per reported value; those that do not hold are red."""
    names = ("with", "stage", "value") if any(row["with"] for row in rows) else ("stage", "value")
    numbers = ("reported", "measured", "difference", "tolerance", "paper")
    columns = [*(Column(name, wraps=True) for name in names), *(Column(name, right=True) for name in numbers)]
    columns += [Column("to paper"), Column("verdict")]
    return Table(columns, [_cells(row)[-len(columns) :] for row in rows], title)


def _cells(row: dict) -> list[str | Text]:
    """The cells of a reported value."""
    key, other, tolerance = row["metric"], subtracted(row["relative_to"], row["compared_with"]), row["tolerance"]
    relative = bool(other)
    by_paper = row["reported"] == row["paper"] and row["source"] == row["paper_source"]
    cells = [
        " ".join(row["with"]),
        row["stage"],
        f"{key} - {other}" if relative else key,
        UNKNOWN if by_paper and tolerance is None else shown(row["reported"], key, relative),
        shown(row["measured"], key, relative),
        shown(row["difference"], key, True),
        UNKNOWN if tolerance is None else shown(tolerance, key, True).replace("+", "±"),
        shown(row["paper"], key, relative),
        row["paper_verdict"],
        row["verdict"],
    ]
    return [Text(cell, "red") for cell in cells] if row["verdict"] in (FAILS, NO_RUN) else cells
