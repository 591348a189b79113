"""Plans within budgets."""

from dataclasses import replace

import pytest
import torch

from effdl.nn.parametrizations import materialize_parametrizations
from effdl.search.choices import Choice, Family
from effdl.search.plan import compressed, stored_bytes


@pytest.mark.parametrize("budget", [1500, 2500, 3500])
def test_the_file_of_a_plan_is_as_large_as_the_budget_allows(base, budget):
    made = base()
    plan = made.plan({"size_bytes": budget})
    written = stored_bytes(compressed(made.model, plan.layers), {})
    assert written == plan.predicted["size_bytes"]
    assert 0.85 * budget < written <= budget * 1.01


def test_the_layer_that_bears_less_is_compressed_less(base):
    plan = base().plan({"size_bytes": 2000})
    assert plan.layers["2"].sparsity < plan.layers["0"].sparsity


def test_a_smaller_budget_loses_more(base):
    made = base()
    lost = [made.plan({"size_bytes": budget}).predicted["val_loss"] for budget in (2000, 3000, 5000, 10_000)]
    assert lost == sorted(lost, reverse=True)


def test_several_budgets_are_kept_together(base):
    made = base()
    plan = made.plan({"size_bytes": 6000, "params_nonzero": 900, "macs_nonzero": 800})
    changed = compressed(made.model, plan.layers)
    nonzero = sum(int(torch.count_nonzero(p)) for p in materialize_parametrizations(changed).parameters())
    weights = sum(int(torch.count_nonzero(changed[i].weight)) for i in (0, 2))
    assert plan.predicted["macs_nonzero"] <= 800
    assert weights <= 800
    assert nonzero == pytest.approx(plan.predicted["params_nonzero"], abs=74)  # the 74 biases may have zeros


def test_what_trained_models_had_corrects_what_is_predicted(base):
    made = base()
    plain = made.plan({"size_bytes": 4000})
    made.learn(plain, {key: 1.25 * value for key, value in plain.predicted.items()})
    again = made.plan({"size_bytes": 5000})
    assert again.layers == plain.layers
    assert again.predicted["size_bytes"] == pytest.approx(1.25 * plain.predicted["size_bytes"])
    made.learn(again, again.predicted)
    assert made.ratios["size_bytes"] == pytest.approx(1.25)  # the prediction was right


def test_no_plan_is_below_the_floor(base):
    made = base()
    floor = made.floor("size_bytes")
    assert made.plan({"size_bytes": floor / 2}).predicted["size_bytes"] == floor
    assert made.plan({"size_bytes": floor * 1.5}).predicted["size_bytes"] >= floor


def test_the_score_of_the_course_is_planned_with_the_same_bits_everywhere(base):
    family = Family(4, tuple(Choice(sparsity, 4) for sparsity in (0.0, 0.5, 0.9)))
    places = [base().family.options.index(option) for option in family.options]
    made = base()
    tables = [replace(t, losses=t.losses[places], nonzero=t.nonzero[places], size=t.size[places]) for t in made.tables]
    plan = replace(made, tables=tables, family=family).plan({"course_score": 7e-5})
    kept = 74 + sum((1 - plan.layers[name].sparsity) * size for name, size in made.sizes.items())  # and 74 biases
    by_hand = 4 / 32 * (kept / 5.6e6 + made.row["macs"] / 2.8e8)
    assert plan.predicted["course_score"] == pytest.approx(by_hand)
    assert 5e-5 < plan.predicted["course_score"] <= 7e-5
    assert plan.activations == 4
    assert "course_score" not in made.plan({"size_bytes": 2000.0}).predicted  # bits differ from layer to layer


def test_the_micronet_score_is_planned_with_bits_of_each_layer(base):
    """Storage: b/32 of a value that is not zero, 1/32 for each element of the mask; operations: b/32 of a product of
    b-bit numbers and 1 of an addition; relative to 36.5e6 and 10.49e9."""
    options = tuple(Choice(sparsity, bits) for sparsity in (0.0, 0.5, 0.9) for bits in (2, 8))
    made = base()
    places = [made.family.options.index(option) for option in options]
    tables = [replace(t, losses=t.losses[places], nonzero=t.nonzero[places], size=t.size[places]) for t in made.tables]
    made = replace(made, tables=tables, family=Family(4, options))
    plan = made.plan({"micronet_score": 1.3e-5})
    assert plan.predicted["micronet_score"] <= 1.3e-5
    storage = operations = 0.0
    for table in tables:
        bits, nonzero = plan.layers[table.name].bits, table.nonzero[options.index(plan.layers[table.name])]
        storage += min(table.numel * bits, nonzero * bits + table.numel) / 32
        operations += nonzero * (max(bits, 4) + 32) / 32  # as many MACs as weights
    by_hand = (storage + 74) / 36.5e6 + operations / 10.49e9
    assert plan.predicted["micronet_score"] == pytest.approx(by_hand)
    assert len({choice.bits for choice in plan.layers.values()}) == 2
    assert base().plan({"micronet_score": 1e-9}).predicted["micronet_score"] == base().floor("micronet_score")
