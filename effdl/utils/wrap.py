"""A text in lines, for a terminal."""

import re

from rich.cells import cell_len, chop_cells

_BREAKS = re.compile(r"(?<=[/,=_])|(?<=[-.])(?=[A-Za-z])")  # where a word may break that is longer than a line


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines no wider than `width` cells: broken at blanks, and in words that are longer than that."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines += _chopped(word, width)
    return lines if lines[0] else lines[1:] or [""]


def two_lines(text: str) -> int:
    """The narrowest width at which a text takes two lines, broken at a blank."""
    words = text.split()
    breaks = range(1, len(words) + 1)
    return min((max(cell_len(" ".join(part)) for part in (words[:k], words[k:])) for k in breaks), default=0)


def _chopped(word: str, width: int) -> list[str]:
    """A word in lines: broken behind punctuation, or anywhere if there is none."""
    lines = [""]
    for piece in (piece for part in _BREAKS.split(word) for piece in chop_cells(part, width)):
        if cell_len(lines[-1] + piece) <= width:
            lines[-1] += piece
        else:
            lines.append(piece)
    return lines
