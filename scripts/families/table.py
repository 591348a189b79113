"""The table of families and checks."""

import json
import re
from pathlib import Path

from families.chosen import families
from families.walker import COLUMNS
from pages import markdown


def rows(folder: Path) -> dict[str, dict[str, tuple[str, str]]]:
    """By family and check the outcome and the word on it."""
    found = {}
    for key in families():
        file = folder / f"{key}.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        found[key] = {check: (outcome, word) for check, outcome, word in lines}
    return found


def table(folder: Path) -> str:
    """The table of families and checks, and under it the reasons for what does not work, as a page shows it."""
    reasons: dict[str, int] = {}

    def cell(outcome: str, word: str) -> str:
        if outcome in ("yes", "late"):
            return outcome
        kind = reason(word)
        number = reasons.setdefault(kind, len(reasons) + 1)
        return f"{'no' if outcome == 'refused' else '**fails**'} [{number}]"

    lines = []
    for key, checks in rows(folder).items():
        if not checks:
            continue
        loaded, word = checks["load"]
        pixels, parameters = word.split() if loaded == "yes" else ("", "0")
        size = f"{int(parameters) / 1e6:.1f} M" if pixels else ""
        cells = [cell(*checks[check]) if check in checks else "" for check in COLUMNS]
        lines.append([f"{key} `{families()[key]}`", size, pixels, *cells])
    known = [checks for checks in rows(folder).values() if checks]
    counts = [sum(checks.get(check, ("",))[0] == "yes" for checks in known) for check in COLUMNS]
    lines.append([f"{len(known)} of {len(families())} families walked", "", "", *map(str, counts)])
    notes = [f"{number}. {word}" for word, number in reasons.items()]
    head = ("family and model", "parameters", "pixels", *COLUMNS)
    return "\n".join([markdown(head, lines), "", *notes])


def reason(word: str) -> str:
    """A message without the names and numbers of one model."""
    word = re.sub(r"\b\d+(\.\d+)?(e-?\d+)?\b", "N", word.replace("|", "/"))
    return re.sub(r"\b\w++(\.\w++)++(?!=)", "LAYER", word)[:200]
