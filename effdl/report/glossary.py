"""What the numbers mean: the registry of metrics as a table for a page."""

from effdl.measure.metrics import FAMILIES, METRICS
from effdl.measure.pareto import MAX, MIN
from effdl.report.formats import to_markdown

_HEADER = ("key", "short name", "unit", "better", "where", "meaning")
_WAYS = {MIN: "less", MAX: "more", None: ""}


def glossary() -> str:
    """All metrics and families of metrics as a table of Markdown."""
    lines = [
        [
            f"`{entry.key.removeprefix('layer_')}`",
            f"`{entry.alias}`" if entry.alias not in ("", entry.key) else "",
            entry.unit.stored,
            _WAYS[entry.better],
            ", ".join(entry.at),
            entry.meaning,
        ]
        for entry in METRICS.values()
    ]
    lines += [[f"`{prefix}...`", "", "", "", "", f"the same {what}"] for prefix, (what, _) in FAMILIES.items()]
    lines.append(["`..._std`", "", "", "", "report", "its standard deviation over seeds"])
    return to_markdown(_HEADER, lines, [False] * len(_HEADER)).rstrip()
