"""The tables of a run's stages and of a model's layers."""

import io

from rich.console import Console

from effdl.measure.layers import per_layer
from effdl.models.mlp import mlp
from effdl.report.table import ROWS, layers_table, stages_table


def text(table):
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return console.file.getvalue()


def cells(table):
    """Cells by the label in the first column."""
    return {label: row for label, *row in table.rows}


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
    assert [column.heading for column in table.columns] == ["test split", "dense", "prune"]
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
    shown = cells(stages_table([{"stage": "dense", **dict.fromkeys(ROWS, 0)}], "", "val"))
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
    stored = {
        name: {"kind": "dense", "bits": 32, "table": 0, "bytes": 100 * (1 + index)} for index, name in enumerate(names)
    }
    table = layers_table(per_layer(model, (1, 8, 8), stored))
    assert [row[1:9] for row in table.rows] == [
        ["Linear", "16x64", "1,040", "1,040", "0.00 %", "32", "32", "1.02 k"],
        ["Linear", "10x16", "170", "170", "0.00 %", "32", "32", "160"],
    ]
    assert [row[-2:] for row in table.rows] == [["100", "10.00 %"], ["300", "30.00 %"]]
    assert "1.02 k" in text(table)
