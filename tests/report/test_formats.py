"""Files of a comparison, read back by the programs they are for."""

import csv
import io
import json

import pytest

from effdl.report.formats import csv_cell, flat, to_csv, to_json, to_latex, to_markdown

ROWS = [
    {
        "name": 'a, "b"',
        "top1": 0.1 + 0.2,
        "params": 12345678901,
        "latency_ms": None,
        "dense": True,
        "config": {"lr": 0.1},
    },
    {"name": "line\nbreak", "top1": 1e-17, "params": 1, "n": 3, "dense": False, "config": {"hidden": [1, 2]}},
]


def test_csv_is_read_by_pandas_with_every_digit():
    pandas = pytest.importorskip("pandas")
    text = to_csv(ROWS)
    assert len(text.splitlines()) == 3
    read = pandas.read_csv(io.StringIO(text))
    assert list(read.columns) == ["name", "top1", "params", "latency_ms", "dense", "config.lr", "n", "config.hidden"]
    assert list(read["top1"]) == [0.30000000000000004, 1e-17]
    assert list(read["params"]) == [12345678901, 1]
    assert list(read["name"]) == ['a, "b"', "line break"]
    assert list(read["dense"]) == [True, False]
    assert read["latency_ms"].isna().all()
    assert read["config.lr"][0] == 0.1
    assert json.loads(read["config.hidden"][1]) == [1, 2]


def test_flat():
    assert flat({"a": 1, "config": {"optimizer.lr": 2}}) == {"a": 1, "config.optimizer.lr": 2}
    assert flat({"a": 1}) == {"a": 1}


def test_json_keeps_everything():
    read = json.loads(to_json(ROWS, {"energy_kwh": 0.5}, [("some/folder", "empty")]))
    assert read["rows"] == ROWS
    assert read["totals"] == {"energy_kwh": 0.5}
    assert read["damaged"] == [{"folder": "some/folder", "reason": "empty"}]


def test_markdown():
    text = to_markdown(["run", "top-1"], [["a|b", "98.00 %"]], [False, True])
    assert text == "| run | top-1 |\n| --- | ---: |\n| a\\|b | 98.00 % |\n"


def test_latex():
    text = to_latex(["run", "90 %"], [["a_b & c\\d", "1 ± 2 µ"]], [False, True])
    assert text.splitlines() == [
        r"\begin{tabular}{lr}",
        r"\hline",
        r"run & 90 \% \\",
        r"\hline",
        r"a\_b \& c\textbackslash{}d & 1 $\pm$ 2 $\mu$ \\",
        r"\hline",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+2", "'=1+2"),
        ("+cmd", "'+cmd"),
        ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'=1"),
        ("\r=1", "'=1"),
        ("-1.5", "-1.5"),
        ("+2", "+2"),
        ("a=1", "a=1"),
        ("\x1b[31m", r"\x1b[31m"),
    ],
)
def test_a_spreadsheet_takes_no_cell_for_a_formula(text, cell):
    heading, row = csv.reader(io.StringIO(to_csv([{"name": text, f"{text} ": -1.5}])))
    assert (row[0], row[1]) == (cell, "-1.5")
    assert heading[1].strip() == cell


def test_a_cell_is_no_formula():
    """A class or a file may have any name."""
    assert csv_cell("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert csv_cell("-0.5") == "-0.5"
    assert csv_cell("cat\nand dog") == "cat and dog"
    assert csv_cell(0.5) == 0.5
