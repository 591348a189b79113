"""A plan as overrides of a run."""

import json

from effdl.search.choices import FLOAT, Choice
from effdl.search.plan import Plan

SIZES = {"0": 300, "2": 100}


def test_filters_alone(tmp_path):
    assert Plan(0.75).overrides(tmp_path, SIZES, 5) == [
        "compression=[filters]",
        "prune=0.75",
        "compression.filters.epochs=5",
    ]
    assert not list(tmp_path.iterdir())


def test_all_three(tmp_path):
    plan = Plan(0.5, {"0": Choice(0.8, 3), "2": Choice(0.0, FLOAT)})
    found = dict(text.split("=", 1) for text in plan.overrides(tmp_path, SIZES, 5, distilled=True))
    assert found["compression"] == "[logits,filters,magnitude,lsq]"
    assert (found["prune"], found["compression.magnitude.level"], found["quantize"]) == ("0.5", "0.600000", "3")
    assert json.loads((tmp_path / "amounts.json").read_bytes()) == {"0": 0.8}
    assert json.loads((tmp_path / "bits.json").read_bytes()) == {"0": 3}


def test_zeros_alone_are_what_prune_means(tmp_path):
    plan = Plan(layers={"0": Choice(0.8, FLOAT), "2": Choice(0.4, FLOAT)})
    assert plan.methods == ["magnitude"]
    assert "prune=0.700000" in plan.overrides(tmp_path, SIZES, 5)
