"""The comparison of runs as a table for people: which columns there are, and how their numbers are written."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich import box
from rich.table import Table

from effdl.report.naming import text
from effdl.report.table import UNKNOWN, grams, milliseconds, percent, si, size, watt_hours


class Column(NamedTuple):
    """A column: the rows' key, its heading, how a value is written."""

    key: str
    label: str
    write: Callable[..., str]


def points(value: float) -> str:
    """A difference of fractions in percentage points."""
    return f"{100 * value:+.2f}"


def short_time(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds >= 3600:
        return f"{seconds / 3600:.2f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def digits(value: float) -> str:
    """Four digits, without an exponent above one ten-thousandth."""
    return f"{value:,.0f}" if abs(value) >= 9999.5 else f"{value:.4g}"


# What `--columns`, `--sort` and `--where` call a column; any other key of a row or config is allowed too.
COLUMNS = {
    "name": Column("name", "run", str),
    "folder": Column("folder", "folder", str),
    "status": Column("status", "status", str),
    "stage": Column("stage", "stage", str),
    "method": Column("method", "method", str),
    "seed": Column("seed", "seed", str),
    "n": Column("n", "n", str),
    "top1": Column("top1", "top-1", percent),
    "top5": Column("top5", "top-5", percent),
    "loss": Column("loss", "loss", "{:.4f}".format),
    "change": Column("top1_change", "change", points),
    "zeros": Column("weight_sparsity", "zeros", percent),
    "bits": Column("weight_bits", "bits", "{:.3g}".format),
    "activation_bits": Column("activation_bits", "act. bits", "{:.3g}".format),
    "params": Column("params", "params", si),
    "macs": Column("macs", "MACs", si),
    "size": Column("size_bytes", "size", size),
    "ratio": Column("compression_ratio", "ratio", "{:.2f} x".format),
    "latency": Column("latency_ms", "latency", milliseconds),
    "energy": Column("total_energy_kwh", "energy", watt_hours),
    "co2": Column("total_co2eq_g", "CO2eq", grams),
    "time": Column("total_duration_s", "time", short_time),
    "stage_energy": Column("energy_kwh", "stage energy", watt_hours),
    "stage_co2": Column("co2eq_g", "stage CO2eq", grams),
    "stage_time": Column("duration_s", "stage time", short_time),
    "course": Column("course_score", "course score", digits),
    "micronet": Column("micronet_score", "MicroNet score", digits),
    "dcase": Column("dcase_rank", "mean rank", digits),
}
WRITE = {column.key: column for column in COLUMNS.values()} | {
    "course_p_s": Column("course_p_s", "structured", percent),
    "course_p_s_macs": Column("course_p_s_macs", "of MACs", percent),
    "course_p_u": Column("course_p_u", "unstructured", percent),
    "course_reached": Column("course_reached", "90 %", lambda value: "reached" if value else "below"),
    "micronet_storage": Column("micronet_storage", "32-bit params", si),
    "micronet_operations": Column("micronet_operations", "operations", si),
    "micronet_reference": Column("micronet_reference", "reference", str),
    "params": Column("params", "params", si),
    "params_nonzero": Column("params_nonzero", "non-zero", si),
    "sparsity": Column("sparsity", "sparsity", percent),
    "dcase_size_kb": Column("dcase_size_kb", "size, KB", "{:,.1f}".format),
    "dcase_complexity_management": Column("dcase_complexity_management", "complexity management", str),
    "training_hardware": Column("training_hardware", "hardware", str),
    "training_power_w": Column("training_power_w", "power, W", "{:,.2f}".format),
    "training_hours": Column("training_hours", "hours", digits),
    "training_kwh_pue": Column("training_kwh_pue", "kWh x PUE", digits),
    "training_co2e_lbs": Column("training_co2e_lbs", "CO2e, lbs", digits),
}

HEAD = ("name", "stage")
METRICS = ("top1", "change", "zeros", "bits", "params", "macs", "size", "ratio", "latency")
VIEWS: dict[str, tuple[str, ...]] = {
    "last": (*HEAD, *METRICS, "energy", "co2", "time"),
    "all": (*HEAD, *METRICS, "stage_energy", "stage_co2", "stage_time"),
    "course": (
        *(*HEAD, "top1", "course_reached", "course_p_s", "course_p_s_macs", "course_p_u", "bits", "activation_bits"),
        *("course",),
    ),
    "micronet": (*HEAD, "top1", "micronet_storage", "micronet_operations", "micronet", "micronet_reference"),
    "dcase": (
        *(*HEAD, "top1", "loss", "params", "params_nonzero", "sparsity", "dcase_size_kb"),
        *("dcase_complexity_management", "dcase"),
    ),
    "training_cost": (
        *("name", "training_hardware", "training_power_w", "training_hours", "training_kwh_pue"),
        *("training_co2e_lbs",),
    ),
}
SCORE_COLUMNS = ("course", "course_reached", "micronet", "dcase", "training_kwh_pue", "training_co2e_lbs")
DISPENSABLE = ("co2", "stage_co2", "params", "time", "stage_time", "ratio", "macs", "latency", "energy", "stage_energy")
GAP = 3  # between columns: two blanks of padding, one of the box
NAME_WIDTH = 24  # a name may break into lines no shorter than this


def column(key: str) -> Column:
    """The column of a short name or of a full key; a key without one is shown as it is."""
    return COLUMNS.get(key) or WRITE.get(key) or Column(key, key, as_is)


def as_is(value: object) -> str:
    """A value of which nothing is known."""
    return digits(value) if isinstance(value, float) else text(value)


def cell(row: dict, shown: Column, value: object) -> str:
    """A value with its standard deviation, if it varies."""
    if value is None:
        return UNKNOWN
    deviation = row.get(f"{shown.key}_std")
    try:
        spread = f" ± {shown.write(deviation).lstrip('+')}" if deviation else ""
        return shown.write(value) + spread
    except (TypeError, ValueError):  # a damaged file's: shown, not hidden
        return str(value)


def cells(rows: Sequence[dict], columns: Sequence[Column], lookup: Callable[[dict, str], object]) -> list[list[str]]:
    """The text of a table, row by row."""
    return [[cell(row, shown, lookup(row, shown.key)) for shown in columns] for row in rows]


def known_columns(
    rows: Sequence[dict], columns: Sequence[Column], lookup: Callable[[dict, str], object]
) -> list[Column]:
    """Without the columns in which every row is unknown."""
    return [shown for shown in columns if any(lookup(row, shown.key) is not None for row in rows)]


def fitting(columns: list[Column], texts: list[list[str]], width: int) -> list[Column]:
    """The columns that a terminal of `width` has room for: the `DISPENSABLE` ones are left out, one after the other."""
    wide = {shown: max(len(shown.label), *(len(line[i]) for line in texts)) for i, shown in enumerate(columns)}
    wide = {shown: min(w, NAME_WIDTH) if shown.key == "name" else w for shown, w in wide.items()}
    kept = list(columns)
    for name in DISPENSABLE:
        if sum(wide[shown] + GAP for shown in kept) < width:
            break
        kept = [shown for shown in kept if shown != COLUMNS[name]]
    return kept


def table(columns: Sequence[Column], texts: Sequence[Sequence[str]], title: str) -> Table:
    """The rich table; only names break into lines."""
    found = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False, padding=(0, 2, 0, 0))
    for shown in columns:
        is_text = shown.write is str
        found.add_column(
            shown.label, justify="left" if is_text else "right", no_wrap=shown.key != "name", overflow="fold"
        )
    for line in texts:
        found.add_row(*line)
    return found
