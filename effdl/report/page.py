"""One self-contained interactive page: a scatter plot with axes to choose, and a table to sort and filter."""

import hashlib
import json
import math
from base64 import b64encode
from html import escape
from importlib.resources import files
from string import Template

from effdl.measure.metrics import deciding, on_test
from effdl.report.naming import SAMPLING, flat_settings
from effdl.report.plots.axis import axis
from effdl.report.plots.marks import colours, kind, marks
from effdl.report.plots.points import labels, points, sample, with_costs_so_far

_TEXTS = ("name", "model", "dataset", "stage", "method", "status")
_TABLE = (
    "top1",
    "params_nonzero",
    "weight_sparsity",
    "weight_bits",
    "size_bytes",
    "compression_ratio",
    "macs",
    "latency_ms",
    "energy_so_far_kwh",
    "training_flops_so_far",
)


def page(rows: list[dict], totals: dict, title: str) -> str:
    """HTML that needs no network and no other file; its policy lets it run and load nothing but what is in it.

    Args:
        rows: as `effdl.report.gather.rows` makes them.
        totals: text by label, shown on top.
        title: of the page.
    """
    folder = files("effdl.report")
    script, style = ((folder / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    return Template((folder / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        totals="".join(f"<div><dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd></div>" for k, v in totals.items()),
        data=_embedded(contents(rows)),
        script=script,
        style=style,
        script_hash=digest(script),
        style_hash=digest(style),
    )


def _embedded(value: dict) -> str:
    """JSON that cannot end the script element it stands in: ``<`` only occurs in strings, where it can be escaped."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def digest(text: str) -> str:
    """Hash of an inline script or style, as a content security policy names it (CSP level 3, section 6.7.2)."""
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()


def contents(rows: list[dict]) -> dict:
    """What the script gets: columns with their units, one list of values per row, and how these are drawn.

    Methods have shapes; colours are those of the models, or of the methods if there is one model only.
    """
    rows = [_columns_of(row) for row in with_costs_so_far(rows)]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    numeric = [key for key in keys if key != "run" and any(_is_number(row.get(key)) for row in rows)]
    rows = [{**row, **{key: row[key] if _is_number(row.get(key)) else None for key in numeric}} for row in rows]
    texts = [key for key in _TEXTS if any(row.get(key) is not None for row in rows)]
    accuracy = deciding("top1", rows)
    scores = tuple(key for key in numeric if key.endswith("_score"))
    return {
        "texts": [{"key": key, "several": len({row.get(key) for row in rows}) > 1} for key in texts],
        "numbers": [_column(key, [row[key] for row in rows if _is_number(row.get(key))]) for key in numeric],
        "table": [key for key in _TABLE + scores if key in numeric],
        "start": [key if key in numeric else next(iter(numeric), None) for key in ("size_bytes", accuracy)],  # x and y
        "marks": marks([row for row in rows if row["stage"]]),
        "models": colours(row.get("model") for row in rows) or None,
        "rows": [{**_entry(row, texts), "numbers": [row[key] for key in numeric]} for row in rows],
        "means": _means(rows, texts, numeric),
    }


def _entry(row: dict, texts: list[str]) -> dict:
    """What the script gets of a row besides its numbers."""
    found = {"kind": kind(row), "folder": row["folder"], "config": row["settings"]}
    return {**found, "texts": [row.get(key) for key in texts]}


def _means(rows: list[dict], texts: list[str], numeric: list[str]) -> list[dict]:
    """A row for each stage of each config: means and standard deviations over its seeds and folds, and their number."""
    found = points(rows)
    entries = []
    for point, name in zip(found, labels(found), strict=True):
        first, samples = point.rows[0], {sample(row) for row in point.rows}
        seeds = {row.get("seed") for row in point.rows}
        one = {**first, "name": name, "folder": ", ".join(row["folder"] for row in point.rows)}
        drawn = tuple(f"{key}=" for key in SAMPLING)
        one["settings"] = [text for text in first["settings"] if len(samples) == 1 or not text.startswith(drawn)]
        shown = [None if key == "seed" and len(seeds) > 1 else key for key in numeric]
        numbers = [key and point.mean(key) for key in shown]
        spreads = [key and point.spread(key) for key in shown]
        entries.append({**_entry(one, texts), "numbers": numbers, "spreads": spreads, "n": len(samples)})
    return entries


def _columns_of(row: dict) -> dict:
    """A row with its settings as columns of their own."""
    settings = flat_settings(row["config"])
    return {**settings, **row, "settings": [f"{key}={value}" for key, value in settings.items()]}


def _column(key: str, values: list[float]) -> dict:
    """A column of numbers: its name and unit, the factor to that unit, and which way is better."""
    shown = axis(key, values)
    wide = min(values) > 0 and max(values) / min(values) >= 8
    return {
        "key": key,
        "label": shown.label,
        "scale": shown.scale,
        "better": shown.better,
        "log": wide,
        "tested": on_test(key),
    }


def _is_number(value: object) -> bool:
    """Whether a value can be on an axis."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
