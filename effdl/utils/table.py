"""Tables for people that fit any width: no number is cut and no name lost, columns go instead and it is said which.

What is the same in all rows is told in the title, names break into lines, and of what still finds no room the least
wanted columns are left out; those that must stay go on in a further table below.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.text import Text

from effdl.utils.text import one_line
from effdl.utils.wrap import two_lines, wrapped

ALWAYS = 1000  # how much a column is wanted that never leaves
_GAP = 2  # blanks between columns
_SHORT = 24  # a text that is longer may break among numbers, which never do
_WORD = re.compile("[A-Za-z]{4}")  # in a text, and not in a number with its unit


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        heading: above it; a table whose headings are all empty has no head.
        right: whether it is aligned to the right, as numbers are.
        wraps: whether its texts may break into lines, as names may.
        wanted: of the columns that find no room the one with the lowest number leaves first; `ALWAYS`: it stays, and if
            it wraps it is repeated in every part of a table.
    """

    heading: str
    right: bool = False
    wraps: bool = False
    wanted: int = ALWAYS


class Table:
    """A table that a console prints at its width.

    Args:
        columns: in their order.
        rows: the texts of each; of a `Text` the style is used too.
        title: above the table.
        constants: whether what is the same in all of several rows is told in the title, instead of in a column.
        more: how to see the columns that are left out.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        rows: Sequence[Sequence[str | Text]],
        title: str = "",
        *,
        constants: bool = True,
        more: str = "a wider terminal shows them",
    ):
        self.columns, self.rows, self.title, self.constants, self.more = columns, rows, title, constants, more

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        width, rule = options.max_width, "-" if options.ascii_only else "─"
        filled = [_Filled(column, [_cell(row[i]) for row in self.rows]) for i, column in enumerate(self.columns)]
        same = [item for item in filled if self.constants and item.is_constant]
        filled = [item for item in filled if item not in same]
        kept = _fitting(filled, width)
        said = ", ".join(f"{item.column.heading} {item.cells[0].plain}" for item in same)
        title = "; the same in all: ".join(filter(None, [self.title, said]))
        yield from (Text(line, "italic") for line in wrapped(title, width) if line)
        for i, part in enumerate(_parts(kept, width)):
            yield from [Text()] if i else []
            yield from _lines(part, _widths(part, width), rule)
        if left_out := ", ".join(item.column.heading for item in filled if item not in kept):
            yield from (Text(line, "dim") for line in wrapped(f"left out: {left_out} ({self.more})", width))
        yield Text()


@dataclass(frozen=True, eq=False)
class _Filled:
    """A column with its cells."""

    column: Column
    cells: list[Text]

    @property
    def is_constant(self) -> bool:
        """Whether all of several rows have the same here; names, which are what one looks for, stay anyway."""
        return not self.is_name and len(self.cells) > 1 and len({cell.plain for cell in self.cells}) == 1

    @property
    def is_name(self) -> bool:
        """Whether it says what a row is."""
        return self.column.wraps and self.column.wanted >= ALWAYS

    @cached_property
    def _widest(self) -> int:
        """The width of the widest cell."""
        return max((cell_len(cell.plain) for cell in self.cells), default=0)

    @cached_property
    def _least(self) -> int:
        """The narrowest width at which no number breaks and texts take two lines."""
        least = two_lines if self.column.wraps else _least_of
        return max((least(cell.plain) for cell in self.cells), default=0)

    @property
    def natural(self) -> int:
        """The width at which nothing breaks."""
        return max(cell_len(self.column.heading), self._widest)

    def least(self, most: int) -> int:
        """The narrowest width: that of the numbers or, of texts, at which they take two lines and no word breaks.

        Args:
            most: a name that needs more breaks oftener.
        """
        heading = _longest_word(self.column.heading)
        least = max(heading, self._least)
        return min(least, most) if self.column.wraps else least

    def filled(self, most: int) -> int:
        """The width that the texts take if their lines may be so wide."""
        texts = [self.column.heading, *(cell.plain for cell in self.cells)]
        return max(cell_len(line) for text in texts for line in wrapped(text, most))


def _cell(text: str | Text) -> Text:
    """A cell, on one line and without what a terminal would obey."""
    return Text(one_line(text.plain), text.style) if isinstance(text, Text) else Text(one_line(text))


def _least_of(text: str) -> int:
    """The width of a cell among numbers, of which a long text may take two lines."""
    return two_lines(text) if cell_len(text) > _SHORT and _WORD.search(text) else cell_len(text)


def _longest_word(text: str) -> int:
    """The width of the longest word."""
    return max(map(cell_len, text.split()), default=0)


def _least(part: Sequence[_Filled], width: int) -> list[int]:
    """The narrowest width of each column; names share the width with the numbers."""
    names = sum(item.column.wraps for item in part)
    return [item.least(max(8, width // (names + 1))) for item in part]


def _room(part: Sequence[_Filled], width: int) -> int:
    """The cells that are left of the width beside these columns at their narrowest."""
    return width - sum(_least(part, width)) - _GAP * (len(part) - 1)


def _fitting(filled: list[_Filled], width: int) -> list[_Filled]:
    """The columns that find room, the least wanted left out; of equally wanted ones the last."""
    kept = list(filled)
    while _room(kept, width) < 0 and (leaving := [item for item in kept if item.column.wanted < ALWAYS]):
        kept.remove(min(reversed(leaving), key=lambda item: item.column.wanted))
    return kept


def _parts(kept: list[_Filled], width: int) -> list[list[_Filled]]:
    """The columns of each table: all, or as many as find room beside the names."""
    names = [item for item in kept if item.is_name]
    parts: list[list[_Filled]] = [[]]
    for item in (item for item in kept if not item.is_name):
        if parts[-1] and _room([*names, *parts[-1], item], width) < 0:
            parts.append([])
        parts[-1].append(item)
    return [[item for item in kept if item in names or item in part] for part in parts]


def _widths(part: list[_Filled], width: int) -> list[int]:
    """The width of each column: what room there is goes to the names first, then to headings of several words."""
    found, room = _least(part, width), max(_room(part, width), 0)
    for i in sorted(range(len(part)), key=lambda i: not part[i].column.wraps):
        before, wanted = found[i], part[i].natural
        if part[i].column.wraps:
            found[i] = part[i].filled(min(wanted, before + room))
        elif wanted <= before + room:
            found[i] = wanted
        room -= found[i] - before
    return found


def _lines(part: list[_Filled], widths: list[int], rule: str) -> Iterator[Text]:
    """A table line by line."""
    headings = [Text(item.column.heading, "bold") for item in part]
    if any(heading.plain for heading in headings):
        yield from _row(part, headings, widths, at_bottom=True)
        yield Text(rule * (sum(widths) + _GAP * (len(widths) - 1)))
    for cells in zip(*(item.cells for item in part), strict=True):
        yield from _row(part, cells, widths)


def _row(part: list[_Filled], cells: Sequence[Text], widths: list[int], at_bottom: bool = False) -> Iterator[Text]:
    """The lines of one row."""
    broken = [wrapped(cell.plain, width) for cell, width in zip(cells, widths, strict=True)]
    count = max(map(len, broken))
    for i in range(count):
        line = Text()
        for item, cell, lines, width in zip(part, cells, broken, widths, strict=True):
            at = i - (count - len(lines)) * at_bottom
            text = lines[at] if 0 <= at < len(lines) else ""
            blank = " " * (width - cell_len(text))
            line.append(blank if item.column.right else "").append(text, cell.style)
            line.append((blank if not item.column.right else "") + " " * _GAP)
        line.rstrip()
        yield line
