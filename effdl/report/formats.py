"""A comparison as CSV, Markdown, LaTeX or JSON. Standard library only."""

import csv
import io
import json
from collections.abc import Sequence

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "µ": r"$\mu$",
}
_LATEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def flat(row: dict) -> dict:
    """A row with its ``config`` as columns ``config.KEY``."""
    config = {f"config.{key}": value for key, value in (row.get("config") or {}).items()}
    return {key: value for key, value in row.items() if key != "config"} | config


def to_csv(rows: Sequence[dict]) -> str:
    """One line per row, a heading first; numbers with all their digits, what was not measured empty.

    Lists are JSON, line breaks in a text are blanks.
    """
    rows = [flat(row) for row in rows]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _plain(value) for key, value in row.items()} for row in rows)
    return buffer.getvalue()


def _plain(value: object) -> object:
    """A value for one cell of a CSV file."""
    if isinstance(value, str):
        return " ".join(value.splitlines())
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def to_json(rows: Sequence[dict], totals: dict, damaged: Sequence[tuple[object, str]]) -> str:
    """``{"rows": [...], "totals": {...}, "damaged": [{"folder", "reason"}]}``."""
    broken = [{"folder": str(path), "reason": reason} for path, reason in damaged]
    return json.dumps({"rows": list(rows), "totals": totals, "damaged": broken}, indent=2, default=str) + "\n"


def to_markdown(header: Sequence[str], texts: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """A table of GitHub's Markdown; `right` says which columns are numbers."""
    rule = ["---:" if is_number else "---" for is_number in right]
    lines = [header, rule, *([_escaped(text, {"|": r"\|"}) for text in line] for line in texts)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def to_latex(header: Sequence[str], texts: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """A ``tabular`` that needs no package."""
    head, *body = (" & ".join(_escaped(text, _LATEX) for text in line) + r" \\" for line in (header, *texts))
    columns = "".join("r" if is_number else "l" for is_number in right)
    return "\n".join(
        [rf"\begin{{tabular}}{{{columns}}}", r"\hline", head, r"\hline", *body, r"\hline", r"\end{tabular}", ""]
    )


def _escaped(text: str, signs: dict[str, str]) -> str:
    """A text with these signs replaced."""
    return "".join(signs.get(sign, sign) for sign in text)
