"""The table: its columns, how numbers are written, and what a narrow terminal shows."""

import io
from pathlib import Path

from rich.console import Console

from effdl.report.compare import SHORT, VIEWS, cell, cells, column, fitting, known_columns, table
from effdl.report.gather import Run, rows
from effdl.report.select import Lookup, last_stages


def run(top1, seed=0, lr=0.1, **values):
    """A run of two stages."""
    config = {"model": {"option": "mlp"}, "optimizer": {"lr": lr}, "epochs": 9, "seed": seed}
    stages = [
        {"stage": "dense", "method": "train", "top1": 0.5, "size_bytes": 1000, "epochs": 3},
        {"stage": "prune", "method": "magnitude", "top1": top1, "size_bytes": 100, "epochs": 4, **values},
    ]
    total = {"duration_s": 60.0, "energy_kwh": 1e-3, "co2eq_g": 1.0}
    return Run(Path(f"runs/{lr}/{seed}"), {"status": "done", "config": config}, stages, total)


def gathered(*runs):
    """Runs, the rows of their last stages, and the lookup."""
    found = rows(list(runs))
    return list(runs), last_stages(found), Lookup(list(runs), found, SHORT)


def test_cells():
    shown = [column(name) for name in ("top1", "change", "size", "energy", "time", "optimizer.lr", "latency", "model")]
    _, found, lookup = gathered(run(0.8))
    [line] = cells(found, shown, lookup)
    assert line == ["80.00 %", "+30.00", "0.1 KB", "1 Wh", "1.0 min", "0.1", "-", "mlp"]


def test_a_cell_has_the_standard_deviation_where_there_is_one():
    assert cell({"top1_std": 0.01}, column("top1"), 0.9) == "90.00 % ± 1.00 %"
    assert cell({"top1_change_std": 0.01}, column("change"), -0.02) == "-2.00 ± 1.00"
    assert cell({"top1_std": None}, column("top1"), 0.9) == "90.00 %"
    assert cell({"params_std": 0.0}, column("params"), 1000) == "1 k"
    assert cell({}, column("top1"), None) == "-"


def test_columns_that_nobody_measured_are_left_out():
    _, found, lookup = gathered(run(0.8))
    shown = known_columns(found, [column(name) for name in VIEWS["last"]], lookup)
    assert [item.heading for item in shown] == ["run", "stage", "top-1", "change", "size", "energy", "CO2eq", "time"]


def test_every_view_is_made_of_columns():
    for view in VIEWS.values():
        for name in view:
            assert column(name).heading != column(name).key or name in {"stage", "params", "loss", "sparsity"}, name


def test_a_narrow_terminal_loses_columns_not_digits():
    _, found, lookup = gathered(run(0.8), run(0.9, lr=0.2))
    shown = known_columns(found, [column(name) for name in VIEWS["last"]], lookup)
    texts = cells(found, shown, lookup)
    assert fitting(shown, texts, 200) == shown
    for width in range(60, 90):
        kept = fitting(shown, texts, width)
        console = Console(file=io.StringIO(), width=width)
        console.print(table(kept, cells(found, kept, lookup), "title"))
        text = console.file.getvalue()
        assert "…" not in text
        assert all(word in text for word in ("80.00 %", "+30.00", "0.1 KB", "lr=0.1"))
        assert max(map(len, text.splitlines())) <= width
    assert [item.heading for item in shown if item not in fitting(shown, texts, 60)] == ["CO2eq", "time"]
