"""The table of a reproduction: reported, measured, difference, verdict."""

from rich import box
from rich.table import Table

from effdl.report.reproduction.claims import FAILS, NO_RUN
from effdl.report.table import ROWS, UNKNOWN

FRACTIONS = ("sparsity", "weight_sparsity")
WRITERS = {key: write for _, key, write in ROWS if key not in FRACTIONS}


def is_fraction(metric: str) -> bool:
    """Whether a metric is shown in percent."""
    return metric in FRACTIONS or metric.removeprefix("val_").startswith("top")


def shown(value: float | None, metric: str, signed: bool = False) -> str:
    """A value of a metric, or a difference of two: of fractions in points."""
    if value is None:
        return UNKNOWN
    value = int(value) if float(value).is_integer() else value  # a mean of counts
    if is_fraction(metric):
        return f"{100 * value:{'+' if signed else ''}.2f}{'' if signed else ' %'}"
    text = WRITERS[metric](abs(value)) if metric in WRITERS else f"{abs(value):.4g}"
    return ("-" if value < 0 else "+" if signed else "") + text


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
        metric, relative = row["metric"], row["relative_to"] is not None
        tolerance = row["tolerance"]
        by_paper = row["reported"] == row["paper"] and row["source"] == row["paper_source"]
        table.add_row(
            " ".join(row["with"]),
            row["stage"],
            f"{metric} - {row['relative_to']}" if relative else metric,
            UNKNOWN if by_paper and tolerance is None else shown(row["reported"], metric, relative),
            shown(row["measured"], metric, relative),
            shown(row["difference"], metric, True),
            UNKNOWN if tolerance is None else shown(tolerance, metric, True).replace("+", "±"),
            shown(row["paper"], metric, relative),
            row["verdict"],
            style="red" if row["verdict"] in (FAILS, NO_RUN) else None,
        )
    return table
