"""Published models over pictures."""

import pytest

from effdl.report.plots.figure import new_figure
from effdl.report.plots.pictures import pictures
from effdl.report.plots.published import legend_entry, overlay, published


def test_the_values_of_the_tables():
    found = {model.model: model for model in published("cifar10", "params_nonzero")}
    assert (found["ResNet-20"].cost, found["ResNet-20"].top1) == (270_000, pytest.approx(0.9125))
    assert found["ResNet-20"].source == "He et al. 2016, table 6"
    assert (found["WRN-28-10"].cost, found["WRN-28-10"].top1) == (36.5e6, pytest.approx(0.96))
    assert [model.cost for model in published("imagenet", "macs")] == [300e6, 585e6]
    assert all(0.7 < model.top1 < 1 and model.cost > 1e5 for model in found.values())
    costs = sorted((model.cost, model.top1) for model in found.values() if model.model.startswith("ResNet"))
    assert costs == sorted(costs, key=lambda pair: pair[1])  # deeper is better in that table


@pytest.mark.parametrize(
    ("dataset", "key"), [("digits", "params_nonzero"), (None, "macs"), ("cifar10", "size_bytes"), ("cifar10", "macs")]
)
def test_other_data_and_other_costs_have_none(dataset, key):
    assert published(dataset, key) == []


def test_the_panel_widens_to_have_them():
    axes = new_figure(4, 3).subplots()
    axes.plot([1, 2], [80, 85])
    overlay(axes, published("cifar10", "params_nonzero"), 1e-6, 100)
    assert axes.get_ylim()[1] > 96.5
    assert axes.get_ylim()[0] < 80
    assert {text.get_text() for text in axes.texts} >= {"ResNet-20", "WRN-28-10"}
    assert axes.lines[-1].get_xydata()[0] == pytest.approx((0.27, 91.25))


def test_the_legend_says_where_they_come_from():
    assert "He et al. 2016, table 6" in legend_entry(published("cifar10", "params_nonzero")).get_label()


def test_pictures_show_them_only_where_they_are_asked_for_and_the_data_set_is_theirs(tmp_path):
    def drawn(dataset, asked):
        common = {"name": "run", "folder": "none", "status": "done", "seed": 0, "config": {}, "dataset": dataset}
        common |= {"method": "train", "stage": "dense", "dense": True, "size_bytes": 9, "macs": 8}
        rows = [{**common, "run": i, "top1": 0.8 + i / 10, "params_nonzero": 10.0**i} for i in range(2)]
        return {path.name: path.read_bytes() for path in pictures(rows, tmp_path, asked)}

    plain, asked = drawn("cifar10", False), drawn("cifar10", True)
    assert plain.keys() == asked.keys()
    assert [name for name in plain if plain[name] != asked[name]] == ["accuracy_params.png"]
    assert drawn("digits", True) == plain
