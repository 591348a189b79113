"""The table of a reproduction: reported, measured, difference, verdict."""

from rich import box
from rich.table import Table

from effdl.measure.metrics import metric
from effdl.measure.units import UNKNOWN
from effdl.report.reproduction.claims import FAILS, NO_RUN


def shown(value: float | None, key: str, signed: bool = False) -> str:
    """A value of a metric, or a difference of two: of fractions in percentage points."""
    if value is None:
        return UNKNOWN
    if signed:
        return metric(key).unit.difference(value)
    return ("-" if value < 0 else "") + metric(key).text(abs(value))


def reproduction_table(rows: list[dict], title: str) -> Table:
    """One row per reported value; those that do not hold are red."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    for column in ("with", "stage", "value"):
        table.add_column(column, overflow="fold")
    for column in ("reported", "measured", "difference", "tolerance", "paper"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    if not any(row["with"] for row in rows):
        table.columns[0].width = 0
    for row in rows:
        key, relative = row["metric"], row["relative_to"] is not None
        tolerance = row["tolerance"]
        by_paper = row["reported"] == row["paper"] and row["source"] == row["paper_source"]
        table.add_row(
            " ".join(row["with"]),
            row["stage"],
            f"{key} - {row['relative_to']}" if relative else key,
            UNKNOWN if by_paper and tolerance is None else shown(row["reported"], key, relative),
            shown(row["measured"], key, relative),
            shown(row["difference"], key, True),
            UNKNOWN if tolerance is None else shown(tolerance, key, True).replace("+", "±"),
            shown(row["paper"], key, relative),
            row["verdict"],
            style="red" if row["verdict"] in (FAILS, NO_RUN) else None,
        )
    return table
