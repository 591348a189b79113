"""The choice of one option for each layer."""

from itertools import product

import numpy as np
import pytest

from effdl.search.solver import choose


@pytest.mark.parametrize("seed", range(20))
def test_as_good_as_the_best_of_all_choices(seed):
    rng = np.random.default_rng(seed)
    counts = [3, 4, 2, 3]
    losses = [rng.random(count) for count in counts]
    costs = {name: [rng.random(count) for count in counts] for name in ("bytes", "macs")}
    budgets = {"bytes": 2.0, "macs": 2.2}

    def total(arrays, chosen):
        return sum(array[option] for array, option in zip(arrays, chosen, strict=True))

    allowed = [
        chosen
        for chosen in product(*map(range, counts))
        if all(total(costs[name], chosen) <= budget for name, budget in budgets.items())
    ]
    found = choose(losses, costs, budgets)
    if not allowed:
        assert found is None
        return
    least = min(total(losses, chosen) for chosen in allowed)
    assert all(total(costs[name], found) <= budget * (1 + 1e-6) for name, budget in budgets.items())
    assert total(losses, found) == pytest.approx(least, rel=2e-3)


def test_nothing_fits():
    assert choose([np.array([0.0, 1.0])], {"bytes": [np.array([5.0, 3.0])]}, {"bytes": 2.0}) is None


def test_without_a_budget_the_least_loss():
    assert choose([np.array([1.0, 0.5]), np.array([0.1, 0.2])], {}, {}) == [1, 0]


def test_nothing_is_printed(capfd):
    rng = np.random.default_rng(0)
    losses = [rng.random(40) for _ in range(20)]
    assert choose(losses, {"bytes": [1 / loss for loss in losses]}, {"bytes": 200.0})
    assert capfd.readouterr() == ("", "")
