"""The rows of Strubell et al. 2019, table 3."""

import pytest

from effdl.measure.training_cost import training_cost_columns, training_energy


@pytest.mark.parametrize(
    ("power_w", "hours", "kwh_pue", "co2e_lbs"),
    [(1515.43, 84, 201, 192), (517.66, 336, 275, 262), (1515.43, 274_120, 656_347, 626_155)],
    ids=["Transformer_big", "ELMo", "NAS"],
)
def test_energy_and_emissions_of_the_paper(power_w, hours, kwh_pue, co2e_lbs):
    assert tuple(map(round, training_energy(power_w, hours))) == (kwh_pue, co2e_lbs)


@pytest.mark.parametrize(
    ("hours", "gpus", "preemptible_usd", "on_demand_usd"),
    [(84, 8, 289, 981), (336, 3, 433, 1472), (274_120, 8, 942_973, 3_201_722)],
    ids=["Transformer_big", "ELMo", "NAS"],
)
def test_cloud_cost_of_the_paper(hours, gpus, preemptible_usd, on_demand_usd):
    """With its prices of a P100: 0.43 and 1.46 USD per hour."""
    for price, usd in ((0.43, preemptible_usd), (1.46, on_demand_usd)):
        columns = training_cost_columns(3600 * hours, None, "P100", price * gpus)
        assert round(columns["training_cloud_cost_usd"]) == usd
        assert (columns["training_hours"], columns["training_power_w"]) == (hours, None)


def test_a_run_has_its_mean_power():
    columns = training_cost_columns(84 * 3600, 1515.43 * 84 / 1000, "P100x8")
    assert columns["training_power_w"] == pytest.approx(1515.43)
    assert round(columns["training_kwh_pue"]) == 201
    assert columns["training_cloud_cost_usd"] is None


def test_what_is_not_known_is_none():
    unknown = training_cost_columns(None, None, "CPU", 2.0)
    assert unknown.pop("training_hardware") == "CPU"
    assert set(unknown.values()) == {None}
    assert len(unknown) == 5
