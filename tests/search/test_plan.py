"""A plan as overrides of a run."""

import json
from dataclasses import replace

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
    assert json.loads((tmp_path / "bits.json").read_bytes()) == {"0": 3, "2": 32}


def test_zeros_alone_are_what_prune_means(tmp_path):
    plan = Plan(layers={"0": Choice(0.8, FLOAT), "2": Choice(0.4, FLOAT)})
    assert plan.methods == ["magnitude"]
    assert "prune=0.700000" in plan.overrides(tmp_path, SIZES, 5)


def test_a_plan_is_what_it_makes():
    plan = Plan(0.5, {"0": Choice(0.8, 3)}, {"size_bytes": 10.0}, 3)
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert replace(plan, predicted={}).digest == plan.digest
    others = [replace(plan, filters=0.4), replace(plan, activations=32), replace(plan, layers={"0": Choice(0.8, 4)})]
    assert len({other.digest for other in (plan, *others)}) == 4


def test_activations_have_bits_too(tmp_path):
    found = Plan(layers={"0": Choice(0.0, 4), "2": Choice(0.0, 4)}, activations=4).overrides(tmp_path, SIZES, 5)
    assert {"quantize=4", "compression.lsq.activation_bits=4", "compression.lsq.first_last=null"} <= set(found)


def test_integers_of_the_whole_model(tmp_path):
    plan = Plan(0.5, {"0": Choice(0.8, 7), "2": Choice(0.0, 7)}, activations=8, int8=True)
    found = plan.overrides(tmp_path, SIZES, 5)
    assert found[0] == "compression=[filters,magnitude,int8]"
    assert found[-1] == "quantize=int8"
    assert not any("lsq" in override for override in found)
    assert Plan(int8=True).overrides(tmp_path, SIZES, 5) == ["compression=[int8]", "quantize=int8"]
    assert Plan.from_json(plan.to_json()) == plan
    assert Plan(0.5, int8=True).digest != Plan(0.5).digest
    assert "int8" not in json.loads(Plan(0.5).to_json())  # as plans were numbered before there were any
