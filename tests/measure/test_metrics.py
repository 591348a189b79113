"""The registry of metrics."""

import json
from pathlib import Path

import pytest

from effdl.measure.metrics import (
    ALIASES,
    COSTS,
    METRICS,
    accuracies,
    errors,
    images_key,
    layer_metric,
    metric,
    on_test,
)
from effdl.measure.pareto import MAX, MIN
from effdl.measure.units import PLAIN

EXAMPLE = Path(__file__).parents[2] / "outputs" / "example"
NO_METRICS = {"stage", "method", "fit", "epoch", "name", "type", "shape", "source", "energy"}


def test_every_entry_is_complete():
    for key, entry in METRICS.items():
        assert entry.key == key
        assert entry.label
        assert entry.meaning
        assert entry.at
        assert entry.better in ("min", "max", None)
    aliases = [entry.alias for entry in METRICS.values() if entry.alias]
    assert len(set(aliases)) == len(aliases)
    assert not [alias for alias, key in ALIASES.items() if alias in METRICS and alias != key]


@pytest.mark.parametrize(
    ("where", "file"), [("stage", "stages.jsonl"), ("epoch", "epochs.jsonl"), ("layer", "layers.jsonl")]
)
def test_every_number_of_a_run_has_an_entry_that_says_where_it_is(where, file):
    row = json.loads((EXAMPLE / file).read_text().splitlines()[-1])
    for key in row.keys() - NO_METRICS:
        assert where in (layer_metric(key) if where == "layer" else metric(key)).at, key


def test_every_sum_of_a_run_has_an_entry():
    total = json.loads((EXAMPLE / "result.json").read_text())["total"]
    assert all("total" in metric(key).at for key in total.keys() - NO_METRICS)
    assert COSTS == ("duration_s", "energy_kwh", "co2eq_g")


@pytest.mark.parametrize(
    ("key", "name", "heading", "text"),
    [
        ("top3", "top-3 accuracy", "top-3", "50.00 %"),
        ("val_top1", "top-1 validation accuracy", "val top-1", "50.00 %"),
        ("val_loss", "validation loss", "val loss", "0.5000"),
        ("evaluate_energy_kwh", "energy of measuring", "measuring: energy", "500 Wh"),
        ("total_duration_s", "time of the run", "time", "0.5 s"),
        ("top1_std", "top-1 accuracy, standard deviation", "top-1, standard deviation", "50.00 %"),
    ],
)
def test_families(key, name, heading, text):
    found = metric(key)
    assert (found.key, found.name, found.heading, found.text(0.5)) == (key, name, heading, text)


def test_which_way_is_better_in_a_family():
    assert metric("val_top5").better == metric("top7").better == "max"
    assert metric("total_co2eq_g").better == metric("val_loss").better == "min"
    assert metric("top1_std").better is None
    assert [metric(key).cost(0.5) for key in ("top1", "loss", "mine")] == [-0.5, 0.5, 0.5]
    assert metric("top1").cost(None) is None


@pytest.mark.parametrize("key", ["mine", "val_mine", "total_mine", "mine_std", "topping", "optimizer.lr"])
def test_an_unknown_key_is_shown_as_it_is(key):
    found = metric(key)
    assert (found.heading, found.name, found.unit, found.better) == (key, key, PLAIN, None)
    assert [found.text(value) for value in (0.123456, 7, "a/b", None)] == ["0.1235", "7", "b", "-"]


def test_short_names():
    assert (ALIASES["size"], ALIASES["energy"], ALIASES["stage_energy"]) == (
        "size_bytes",
        "total_energy_kwh",
        "energy_kwh",
    )
    assert metric(ALIASES["change"]).cell(-0.01) == "-1.00"


def test_accuracies_are_in_order():
    assert accuracies({"top10": 1, "loss": 1, "top5": 1, "val_top1": 1, "top1_change": 0}) == ["top5", "top10"]


def test_an_error_is_what_an_accuracy_leaves():
    row = {"top1": 0.75, "top5": None, "val_top1": 0.5, "stop1": 1.0, "loss": 1.0}
    assert errors(row) == {"error1": 0.25, "error5": None, "val_error1": 0.5}
    for key, better in (("error1", MIN), ("error5", MIN), ("val_error1", MIN), ("top5", MAX)):
        assert metric(key).better == better
    assert (metric("error1").text(0.25), metric("error5").label) == ("25.00 %", "top-5 error")
    assert on_test("error1")
    assert not on_test("val_error1")
    assert ALIASES["error1"] == "error1"


def test_of_which_images_a_metric_is_a_share():
    keys = ("top1", "error5", "val_top1", "loss", "sparsity")
    assert [images_key(key) for key in keys] == ["images", "images", "val_images", None, None]
