"""The table of checks."""

from collections import Counter

from pages import markdown

COLUMNS = ("check", "s", "verdict", "note")
_WIDTH = 90  # characters of a note


def table(rows: list[dict]) -> str:
    """A page in Markdown of the rows of checks: how many ended how, the rows that failed first, and their commands.

    Args:
        rows: each with ``name``, ``seconds`` (or None), ``verdict``, ``note`` and ``commands`` (see `shell.Shell`).
    """
    counts = Counter(row["verdict"] for row in rows)
    head = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    ordered = sorted(rows, key=lambda row: row["verdict"] != "failed")
    lines = [[row["name"], _seconds(row["seconds"]), row["verdict"], _short(row["note"])] for row in ordered]
    parts = [f"{len(rows)} checks: {head}", markdown(COLUMNS, lines), *filter(None, map(_failure, ordered))]
    return "\n\n".join(parts) + "\n"


def _failure(row: dict) -> str:
    """The last command of a check that failed, and its last lines; nothing of others."""
    if row["verdict"] != "failed" or not row["commands"]:
        return ""
    last = row["commands"][-1]
    return "\n".join([f"{row['name']}: exit {last['code']}", "```", f"$ {last['command']}", *last["last"], "```"])


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _short(note: str) -> str:
    """A note as a cell."""
    note = " ".join(note.replace("|", "/").split())
    return note if len(note) <= _WIDTH else f"{note[: _WIDTH - 3]}..."
