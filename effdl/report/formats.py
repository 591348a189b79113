"""A comparison as CSV, Markdown, LaTeX or JSON. Standard library only."""

import csv
import io
import json
from collections.abc import Sequence
from contextlib import suppress

from effdl.utils.text import one_line

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

    Lists are JSON, line breaks in a text are blanks, and what a spreadsheet would run has an apostrophe in front.
    """
    rows = [flat(row) for row in rows]
    buffer = io.StringIO()
    keys = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(csv_cell, keys))
    writer.writerows([csv_cell(row.get(key)) for key in keys] for row in rows)
    return buffer.getvalue()


def csv_cell(value: object) -> object:
    """A value for one cell of a CSV file, which no spreadsheet runs."""
    if isinstance(value, str):
        return _not_run(one_line(value))
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def _not_run(text: str) -> str:
    """A text that no spreadsheet takes for a formula: with an apostrophe in front, if it could be one.

    OWASP, "CSV Injection". Texts that are numbers are none.
    """
    with suppress(ValueError):
        float(text)
        return text
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


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
    """A text on one line, with these signs replaced."""
    return "".join(signs.get(sign, sign) for sign in one_line(text))
