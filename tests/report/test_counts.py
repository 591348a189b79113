"""Counts beside percentages."""

from effdl.report.compare import cell, column
from effdl.report.counts import counted
from effdl.report.table import known_rows


def test_few_images_are_counted():
    row = {"top1": 2 / 6, "error1": 4 / 6, "images": 6, "val_top1": 0.5, "val_images": 200, "loss": 1.0}
    assert counted("33.33 %", "top1", row) == "33.33 %, 2 of 6 (10 to 70 %)"
    assert counted("66.67 %", "error1", row) == "66.67 %, 4 of 6 (30 to 90 %)"
    assert counted("50.00 %", "val_top1", row) == "50.00 %"  # many
    assert counted("1.0000", "loss", row) == "1.0000"  # no share
    assert counted("-", "top5", row) == "-"
    assert counted("50.00 %", "top1", {"top1": 0.5}) == "50.00 %"  # of an earlier version


def test_tables_count_but_not_where_seeds_vary():
    rows = dict(known_rows([{"stage": "dense", "top1": 0.5, "images": 10}]))
    assert rows["top-1"] == ["50.00 %, 5 of 10 (24 to 76 %)"]
    row = {"top1": 0.5, "top1_std": 0.1, "images": 10}
    assert cell(row, column("top1"), 0.5) == "50.00 ± 10.00 %"
    assert cell({**row, "top1_std": None}, column("top1"), 0.5) == "50.00 %, 5 of 10 (24 to 76 %)"
