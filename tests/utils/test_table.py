"""Tables at every width: no number is cut, no name is lost, no line is wider than the terminal."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from effdl.utils.table import ALWAYS, Column, Table

METRICS = ("top-1", "val top-1", "size on disk", "course score", "kWh x PUE", "MicroNet score", "latency, 1 image")
NUMBER = r"\S+ ± \d+e-05 mWh"
COLUMNS = [
    Column("run", wraps=True),
    Column("bits", right=True),
    *(Column(heading, right=True, wanted=ALWAYS - i) for i, heading in enumerate(METRICS)),
]


def rows(count):
    """Rows whose numbers are all different and long."""
    names = [
        f"model=lenet5 optimizer.lr={i / 7:.4g} compression.magnitude.amount=0.{i:03} seed={i}" for i in range(count)
    ]
    return [
        [names[i], "fp32", *(f"{(i + 1) * 1.2345e-5 * (j + 1):.4g} ± {i + 1}e-05 mWh" for j in range(len(METRICS)))]
        for i in range(count)
    ]


def lines(table, width):
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("count", [1, 12, 500])
def test_columns_leave_and_neither_digits_nor_names(count, width):
    given = rows(count)
    found = lines(Table(COLUMNS, given, f"{count} rows"), width)
    assert max(map(cell_len, found)) <= width
    body = "\n".join(found).split("─\n")[1].split("left out")[0]
    left_out = re.search(r"left out: (.*) \(a wider terminal shows them\)", " ".join(found))
    left_out = re.split(r", (?!1 image)", left_out[1]) if left_out else []
    kept = METRICS[: len(METRICS) - len(left_out)]
    assert left_out == list(METRICS[len(kept) :])  # the least wanted
    assert len(kept) >= 1
    numbers = [number for row in given for number in row[2 : 2 + len(kept)]]
    assert re.findall(NUMBER, body) == numbers  # whole, and in order
    assert re.sub(rf"{NUMBER}|fp32|\s", "", body) == "".join(row[0] for row in given).replace(" ", "")
    assert ("the same in all: bits fp32" in found[0]) == (count > 1)


def test_a_wide_table_is_as_wide_as_what_is_in_it():
    found = lines(Table(COLUMNS, rows(2), "2 rows"), 10_000)
    assert len(found) == 6  # title, head, rule, two rows, an empty line
    assert found[1].split() == " ".join(["run", *METRICS]).split()
    assert not any(line.endswith(" ") for line in found)


def test_what_is_the_same_in_all_rows_is_told_in_the_title():
    columns = [Column("run", wraps=True), Column("stage"), Column("top-1", right=True)]
    given = [["a", "prune", "90 %"], ["b", "prune", "91 %"]]
    assert lines(Table(columns, given, "2 rows"), 80) == [
        *("2 rows; the same in all: stage prune", "run  top-1", "──────────", "a     90 %", "b     91 %", "")
    ]
    assert lines(Table(columns, given, "2 rows", constants=False), 80)[1] == "run  stage  top-1"
    assert lines(Table(columns, given[:1], "1 row"), 80)[1] == "run  stage  top-1"


def test_what_must_stay_goes_on_below_beside_the_names():
    columns = [Column("layer", wraps=True), *(Column(f"{bits}-bit", right=True) for bits in (8, 6, 5, 4))]
    given = [["conv", "99.1", "99.0", "98.7", "97.4"], ["fc", "99.2", "98.8", "96.1", "9.1"]]
    assert lines(Table(columns, given, constants=False), 20) == [
        "layer  8-bit  6-bit",
        "───────────────────",
        "conv    99.1   99.0",
        "fc      99.2   98.8",
        "",
        "layer  5-bit  4-bit",
        "───────────────────",
        "conv    98.7   97.4",
        "fc      96.1    9.1",
        "",
    ]


def test_long_headings_break_before_a_column_leaves():
    columns = [Column("run", wraps=True), Column("MicroNet score", right=True, wanted=1)]
    assert lines(Table(columns, [["a", "0.5"], ["b", "0.25"]]), 14) == [
        *("     MicroNet", "run     score", "─────────────", "a         0.5", "b        0.25", "")
    ]


def test_the_rest_of_a_name_stands_below_it():
    columns = [Column("run", wraps=True), Column("top-1", right=True)]
    given = [["model=mlp prune=0.5", "90.00 %"], ["model=vgg prune=0.9", "91.00 %"]]
    assert lines(Table(columns, given), 20) == [
        "run          top-1",
        "──────────────────",
        *("model=mlp  90.00 %", "prune=0.5", "model=vgg  91.00 %", "prune=0.9", ""),
    ]


def test_a_long_text_among_numbers_takes_two_lines_and_the_numbers_one():
    columns = [Column("test split", wraps=True), Column("now", right=True)]
    given = [
        ("runs in", "ONNX Runtime 1.31.1 int8 (2 of 3 layers), 1 thread"),
        ("latency", "0.0124 ms (0.0111 to 0.0171 ms)"),
    ]
    found = lines(Table(columns, given, constants=False), 48)
    assert found[2:] == [
        "runs in      ONNX Runtime 1.31.1 int8 (2 of",
        "                        3 layers), 1 thread",
        "latency     0.0124 ms (0.0111 to 0.0171 ms)",
        "",
    ]


def test_wide_characters_take_two_cells():
    columns = [Column("run", wraps=True), Column("top-1", right=True)]
    found = lines(Table(columns, [["数据集" * 10, "90.00 %"], ["b", "1.00 %"]]), 40)
    assert max(map(cell_len, found)) <= 40
    assert "".join(found).count("数据集") >= 1
    assert {cell_len(line) for line in found if "%" in line} == {cell_len(found[1])}


def test_a_style_colours_its_cell_only():
    console = Console(file=io.StringIO(), width=40, force_terminal=True, color_system="standard")
    console.print(Table([Column("a"), Column("b")], [["x", Text("done", "green")]]))
    assert "x  \x1b[32mdone\x1b[0m" in console.file.getvalue()


def test_cells_are_shown_not_obeyed():
    [_, _, row, *_] = lines(Table([Column("a")], [["x\n\x1b[31my"]]), 40)
    assert row == r"x \x1b[31my"


def test_an_empty_table_has_a_head():
    assert lines(Table([Column("a"), Column("b")], [], "0 rows"), 40) == ["0 rows", "a  b", "────", ""]
