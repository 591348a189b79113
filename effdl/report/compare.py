"""The comparison of runs as a table for people: which columns there are, and what is in their cells."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from effdl.measure.metrics import ALIASES, Metric, metric
from effdl.measure.units import TEXT
from effdl.report.counts import counted
from effdl.report.table import metric_column
from effdl.utils.table import ALWAYS, Table

# The columns that say which run and stage a row is of, by key: their headings.
_ABOUT = {"name": "run"} | {key: key for key in ("folder", "status", "stage", "method", "seed", "n")}
_ABOUT |= {"compared_with": "compared with"}
# What `--columns`, `--sort` and `--where` call a key; any other key of a row or config is allowed too.
SHORT = {key: key for key in _ABOUT} | ALIASES

_HEAD = ("name", "stage")
_METRICS = ("top1", "val_top1", "change", "zeros", "bits", "params", "macs", "size", "ratio", "latency")
VIEWS: dict[str, tuple[str, ...]] = {
    "last": (*_HEAD, *_METRICS, "energy", "co2", "time"),
    "all": (*_HEAD, *_METRICS, "stage_energy", "stage_co2", "stage_time"),
    "course": (
        *(*_HEAD, "top1", "course_reached", "course_w", "course_f", "course_p_s", "course_p_s_macs", "course_p_u"),
        *("course_zeros", "course_weight_bits", "bits", "activation_bits", "course_storage", "course_operations"),
        *("course", "course_score_one_p_s"),
    ),
    "micronet": (*_HEAD, "top1", "micronet_storage", "micronet_operations", "micronet", "micronet_reference"),
    "dcase": (
        *(*_HEAD, "top1", "loss", "params", "params_nonzero", "sparsity", "dcase_size_kb"),
        *("dcase_memory_kb", "macs", "dcase_complexity_management", "dcase"),
    ),
    "training_cost": (
        *("name", "training_hardware", "training_power_w", "training_hours", "training_kwh_pue"),
        *("training_co2e_lbs", "training_cloud_cost_usd", "compute", "measuring_energy"),
    ),
}
SCORE_COLUMNS = ("course", "course_reached", "micronet", "dcase", "training_kwh_pue", "training_co2e_lbs")


def column(name: str) -> Metric:
    """The column of a short name or of a full key."""
    key = SHORT.get(name, name)
    return replace(metric(key), label=_ABOUT[key], unit=TEXT) if key in _ABOUT else metric(key)


def cell(row: dict, shown: Metric, value: object) -> str:
    """A value with its standard deviation, if it varies: ``90.00 ± 1.00 %``."""
    deviation = row.get(f"{shown.key}_std")
    try:
        text, spread = shown.cell(value), shown.cell(deviation).lstrip("+") if deviation else ""
        unit = text[text.rindex(" ") :] if " " in text else ""
        text = text.removesuffix(unit) if spread.endswith(unit) else text
        return f"{text} ± {spread}" if spread else counted(shown.cell(value), shown.key, row)
    except (TypeError, ValueError):  # a damaged file's: shown, not hidden
        return str(value)


def cells(rows: Sequence[dict], columns: Sequence[Metric], lookup: Callable[[dict, str], object]) -> list[list[str]]:
    """The text of a table, row by row."""
    return [[cell(row, shown, lookup(row, shown.key)) for shown in columns] for row in rows]


def known_columns(
    rows: Sequence[dict], columns: Sequence[Metric], lookup: Callable[[dict, str], object]
) -> list[Metric]:
    """Without the columns in which every row is unknown."""
    return [shown for shown in columns if any(lookup(row, shown.key) is not None for row in rows)]


def table(
    columns: Sequence[Metric],
    texts: Sequence[Sequence[str]],
    title: str,
    *,
    staying: Collection[str] = (),
    constants: bool = True,
) -> Table:
    """The table.

    Args:
        staying: keys of columns that stay whatever the width.
        constants: whether what is the same in all rows is told in the title.
    """
    shown = [metric_column(entry) for entry in columns]
    for i, entry in enumerate(columns):
        if entry.key in staying or entry.key in _ABOUT:
            shown[i] = replace(shown[i], wanted=ALWAYS)
        if entry.key in _ABOUT:
            shown[i] = replace(shown[i], wraps=entry.key in ("name", "folder"), right=entry.key in ("seed", "n"))
    more = "--columns A,B or a wider terminal shows them"
    return Table(shown, texts, title, constants=constants, more=more)
