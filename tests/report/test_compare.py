"""The table: its columns, how numbers are written, and what a narrow terminal shows."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from effdl.measure.metrics import KEPT, metric
from effdl.report.compare import SCORE_COLUMNS, SHORT, VIEWS, cell, cells, column, known_columns, table
from effdl.report.gather import Run, rows
from effdl.report.scoring import ranked, scored
from effdl.report.select import Lookup, last_stages
from effdl.report.table import metric_column


def run(top1, seed=0, lr=0.1, **values):
    """A run of two stages."""
    config = {"model": {"option": "mlp"}, "optimizer": {"lr": lr}, "epochs": 9, "seed": seed}
    cost = {"duration_s": 30.0, "energy_kwh": 5e-4, "co2eq_g": 0.5}
    stages = [
        {"stage": "dense", "method": "train", "top1": 0.5, "size_bytes": 1000, "epochs": 3, **cost},
        {"stage": "prune", "method": "magnitude", "top1": top1, "size_bytes": 100, "epochs": 4, **cost, **values},
    ]
    overrides = ["model=mlp", f"optimizer.lr={lr}", f"seed={seed}"]
    described = {"status": "done", "config": config, "overrides": overrides}
    return Run(Path(f"runs/{lr}/{seed}"), described, stages, {"epochs": 7})


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
    assert cell({"top1_std": 0.01}, column("top1"), 0.9) == "90.00 ± 1.00 %"
    assert cell({"top1_change_std": 0.01}, column("change"), -0.02) == "-2.00 ± 1.00"
    assert cell({"top1_std": None}, column("top1"), 0.9) == "90.00 %"
    assert cell({"size_bytes_std": 9.0}, column("size"), 2e6) == "2.00 MB ± 0.0 KB"
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


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("view", VIEWS)
def test_a_narrow_terminal_loses_columns_not_digits(view, width):
    runs = [run(0.8 + i / 1000, seed=i, lr=i / 7, latency_ms=i / 70, macs=10**i, params=9**i) for i in range(12)]
    found = scored(rows(runs), runs)
    found, lookup = ranked(last_stages(found)), Lookup(runs, found, SHORT)
    shown = known_columns(found, [column(name) for name in VIEWS[view] + SCORE_COLUMNS], lookup)
    texts = cells(found, shown, lookup)
    console = Console(file=io.StringIO(), width=width)
    console.print(table(shown, texts, "title"))
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    left_out = re.search(r"left out: (.*) \(--columns A,B or a wider terminal shows them\)", words)
    for i, entry in list(enumerate(shown))[1:]:
        own = [line[i] for line in texts]
        said = len(set(own)) == 1 or entry.heading in (left_out[1] if left_out else "")
        assert said or all(value in text for value in own), entry.key
    assert all(word in text.split() for line in texts for word in line[0].split())
    assert all(re.fullmatch(r"lr=\S+ seed=\d+", line[0]) for line in texts)


def test_what_is_sorted_by_stays_and_so_does_what_is_chosen():
    _, found, lookup = gathered(run(0.8, latency_ms=1.0), run(0.9, lr=0.2, latency_ms=2.0))
    shown = [column(name) for name in ("name", "stage", "top1", "size", "co2", "latency", "method")]
    texts = cells(found, shown, lookup)

    def headings(**options):
        console = Console(file=io.StringIO(), width=22)
        console.print(table(shown, texts, "", **options))
        return console.file.getvalue()

    assert "latency" in headings().split("left out")[1]
    assert "latency" in headings(staying=["latency_ms"]).split("left out")[0]
    assert "left out" not in headings(staying=[entry.key for entry in shown], constants=False)


def test_views_keep_the_score_that_they_are_named_after():
    for view, score in {"course": "course_score", "micronet": "micronet_score", "dcase": "dcase_rank"}.items():
        others = [column(name) for name in VIEWS[view] if column(name).key not in ("name", "stage", "top1", score)]
        assert all(metric_column(entry).wanted < metric_column(column(score)).wanted for entry in others), view


def test_only_known_metrics_are_kept():
    assert len(set(KEPT)) == len(KEPT)
    assert all(metric(key).at for key in KEPT)
