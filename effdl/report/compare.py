"""The comparison of runs as a table for people: which columns there are, and which of them fit."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from rich import box
from rich.table import Table

from effdl.measure.metrics import ALIASES, Metric, metric
from effdl.measure.units import TEXT

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
        *(*_HEAD, "top1", "course_reached", "course_p_s", "course_p_s_macs", "course_p_u", "course_zeros"),
        *("course_weight_bits", "bits", "activation_bits", "course", "course_score_one_p_s"),
    ),
    "micronet": (*_HEAD, "top1", "micronet_storage", "micronet_operations", "micronet", "micronet_reference"),
    "dcase": (
        *(*_HEAD, "top1", "loss", "params", "params_nonzero", "sparsity", "dcase_size_kb"),
        *("dcase_complexity_management", "dcase"),
    ),
    "training_cost": (
        *("name", "training_hardware", "training_power_w", "training_hours", "training_kwh_pue"),
        *("training_co2e_lbs",),
    ),
}
SCORE_COLUMNS = ("course", "course_reached", "micronet", "dcase", "training_kwh_pue", "training_co2e_lbs")
_DISPENSABLE = (
    "co2",
    "stage_co2",
    "val_top1",
    "params",
    "time",
    "stage_time",
    "ratio",
    "macs",
    "latency",
    "energy",
    "stage_energy",
)
_GAP = 3  # between columns: two blanks of padding, one of the box
_NAME_WIDTH = 24  # a name may break into lines no shorter than this


def column(name: str) -> Metric:
    """The column of a short name or of a full key."""
    key = SHORT.get(name, name)
    return replace(metric(key), label=_ABOUT[key], unit=TEXT) if key in _ABOUT else metric(key)


def cell(row: dict, shown: Metric, value: object) -> str:
    """A value with its standard deviation, if it varies."""
    deviation = row.get(f"{shown.key}_std")
    try:
        spread = f" ± {shown.cell(deviation).lstrip('+')}" if deviation else ""
        return shown.cell(value) + spread
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


def fitting(columns: list[Metric], texts: list[list[str]], width: int) -> list[Metric]:
    """The columns that a terminal of `width` has room for: those of `_DISPENSABLE` are left out in turn."""
    wide = {shown: max(len(shown.heading), *(len(line[i]) for line in texts)) for i, shown in enumerate(columns)}
    wide = {shown: min(w, _NAME_WIDTH) if shown.key == "name" else w for shown, w in wide.items()}
    kept = list(columns)
    for name in _DISPENSABLE:
        if sum(wide[shown] + _GAP for shown in kept) < width:
            break
        kept = [shown for shown in kept if shown != column(name)]
    return kept


def table(columns: Sequence[Metric], texts: Sequence[Sequence[str]], title: str) -> Table:
    """The rich table; only names break into lines."""
    found = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False, padding=(0, 2, 0, 0))
    for shown in columns:
        side = "left" if shown.unit is TEXT else "right"
        found.add_column(shown.heading, justify=side, no_wrap=shown.key != "name", overflow="fold")
    for line in texts:
        found.add_row(*line)
    return found
