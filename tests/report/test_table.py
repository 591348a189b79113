"""Numbers as people read them, and the tables."""

import io

import pytest
from rich.console import Console

from effdl.measure.layers import per_layer
from effdl.models.mlp import mlp
from effdl.report.table import ROWS, layers_table, milliseconds, percent, si, size, stages_table


def text(table):
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return console.file.getvalue()


def cells(table):
    """Cells by the label in the first column."""
    columns = [list(column.cells) for column in table.columns]
    return {label: list(row) for label, *row in zip(*columns, strict=True)}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (1, "1"),
        (999, "999"),
        (999.4, "999"),
        (999.6, "1 k"),
        (1000, "1 k"),
        (269_722, "270 k"),
        (999_499, "999 k"),
        (999_500, "1 M"),
        (1_814_070_000, "1.81 G"),
        (5.6e12, "5.6 T"),
        (0.5, "500 m"),
        (0.0012, "1.2 m"),
        (0.9999, "1"),
        (1e-3, "1 m"),
        (0.99999e-3, "1 m"),
        (2.5e-5, "25 µ"),
        (1e-6, "1 µ"),
        (3e-9, "3 n"),
        (4e-10, "4e-10"),
        (-1500, "-1.5 k"),
    ],
)
def test_si(value, shown):
    assert si(value) == shown


def test_si_with_a_unit():
    assert (si(0, "g"), si(12.34, "g"), si(0.00123, "Wh"), si(1e-12, "g")) == ("0 g", "12.3 g", "1.23 mWh", "1e-12 g")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0.0 KB"),
        (999, "1.0 KB"),
        (1000, "1.0 KB"),
        (999_000, "999.0 KB"),
        (10**6, "1.00 MB"),
        (2.5e9, "2,500.00 MB"),
    ],
)
def test_size(value, shown):
    assert size(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0.00 %"), (0.98765, "98.77 %"), (1, "100.00 %"), (0.00004, "0.00 %")]
)
def test_percent(value, shown):
    assert percent(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.4567, "0.457 ms"), (2.7, "2.7 ms"), (123.4, "123 ms"), (999.7, "1,000 ms"), (12345, "12,345 ms")],
)
def test_milliseconds(value, shown):
    assert milliseconds(value) == shown


DENSE = {
    "stage": "dense",
    "top5": 1.0,
    "top1": 0.9876,
    "top10": 1.0,
    "loss": 0.05,
    "params": 269_722,
    "macs": 40_600_000,
    "size_bytes": 1_000_000,
    "energy_kwh": 1.5e-6,
    "co2eq_g": None,
    "latency_ms": None,
}
PRUNED = {**DENSE, "stage": "prune", "top1": None, "latency_ms": 0.5}


def test_a_column_per_stage_and_a_dash_for_what_is_not_known():
    table = stages_table([DENSE, PRUNED], "resnet on digits")
    assert [column.header for column in table.columns] == ["test split", "dense", "prune"]
    assert table.title == "resnet on digits"
    shown = cells(table)
    assert shown["top-1"] == ["98.76 %", "-"]
    assert shown["latency, 1 image"] == ["-", "0.5 ms"]
    assert shown["parameters"] == ["269,722", "269,722"]
    assert shown["MACs"] == ["40.6 M", "40.6 M"]
    assert shown["size on disk"] == ["1.00 MB", "1.00 MB"]
    assert shown["energy"] == ["1.5 mWh", "1.5 mWh"]


def test_what_nobody_measured_is_left_out():
    shown = cells(stages_table([DENSE, PRUNED], ""))
    assert "CO2eq" not in shown
    assert "throughput" not in shown
    assert list(shown)[:4] == ["top-1", "top-5", "top-10", "loss"]


def test_a_measured_zero_is_not_a_dash():
    shown = cells(stages_table([{"stage": "dense", **{key: 0 for _, key, _ in ROWS}}], "", "val"))
    assert len(shown) == len(ROWS)
    assert all(value != "-" for [value] in shown.values())
    assert shown["sparsity"] == ["0.00 %"]


def test_the_table_can_be_printed():
    shown = text(stages_table([DENSE, PRUNED], "title"))
    assert "98.76 %" in shown
    assert shown.startswith("title")


def test_layers():
    model = mlp(1, 8, 10, hidden=[16])
    names = [name for name, _ in model.named_parameters()]
    stored = {name: {"bits": 32, "bytes": 100 * (1 + index)} for index, name in enumerate(names)}
    table = layers_table(per_layer(model, (1, 8, 8), stored))
    assert table.row_count == 2
    assert [list(column.cells) for column in table.columns[1:9]] == [
        ["Linear", "Linear"],
        ["16x64", "10x16"],
        ["1,040", "170"],
        ["1,040", "170"],
        ["0.00 %", "0.00 %"],
        ["32", "32"],
        ["32", "32"],
        ["1.02 k", "160"],
    ]
    assert list(table.columns[-2].cells) == ["100", "300"]
    assert list(table.columns[-1].cells) == ["10.00 %", "30.00 %"]
    assert "1.02 k" in text(table)
