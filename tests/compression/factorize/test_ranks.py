"""Rules for ranks, against their definitions and against exhaustive search."""

import itertools

import pytest
import torch

from effdl.compression.factorize.ranks import allocate, by_energy, by_ratio, fixed, lost

SPECTRUM = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64)
FLAT = torch.full((10,), 0.1, dtype=torch.float64)


@pytest.mark.parametrize(("level", "ranks"), [(0.0, (4, 10)), (0.5, (2, 5)), (0.9, (1, 1)), (0.99, (1, 1))])
def test_a_ratio_is_one_of_ranks(level, ranks):
    assert by_ratio([SPECTRUM, FLAT], level) == ranks


@pytest.mark.parametrize(("level", "rank"), [(0.0, 4), (0.125, 3), (0.2, 3), (0.25, 2), (0.5, 1), (0.6, 1), (0.1, 4)])
def test_energy_is_kept_by_the_smallest_rank(level, rank):
    assert by_energy([SPECTRUM], level) == (rank,)


def test_energy_of_rounded_sums_is_no_rank_too_many():
    assert by_energy([FLAT / FLAT.sum() * (1 - 1e-15)], 0.0) == (10,)


def test_a_fixed_rank_is_at_most_full():
    assert fixed([SPECTRUM, FLAT], 7) == (4, 7)


def test_what_is_lost():
    assert lost([SPECTRUM]).tolist() == [0.5, 0.25, 0.125, 0.0]
    both = lost([SPECTRUM, FLAT])
    assert both.shape == (4, 10)
    assert float(both[1, 3]) == pytest.approx(0.25 + 0.6)


def problem(seed, layers=4, ranks=6):
    """Layers whose options are ranks, and as the last the layer as it is."""
    generator = torch.Generator().manual_seed(seed)
    costs, losses = [], []
    for _ in range(layers):
        values = torch.rand(2 * ranks, generator=generator, dtype=torch.float64).sort(descending=True).values
        step = int(torch.randint(3, 30, (1,), generator=generator))
        tails = (values.sum() - values.cumsum(0))[:ranks] / values.sum()
        costs.append(torch.tensor([step * rank for rank in range(1, ranks + 1)] + [step * ranks + step // 2]))
        losses.append(torch.cat([tails, torch.zeros(1, dtype=torch.float64)]))
    return costs, losses


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("level", [0.2, 0.5, 0.7])
def test_an_allocation_is_within_the_budget_and_nearly_the_best(seed, level):
    costs, losses = problem(seed)
    budget = int((1 - level) * sum(int(cost.max()) for cost in costs))
    chosen = allocate(costs, losses, budget)

    def cost(options):
        return sum(int(cost[option]) for cost, option in zip(costs, options, strict=True))

    def loss(options):
        return sum(float(loss[option]) for loss, option in zip(losses, options, strict=True))

    every = itertools.product(*(range(len(cost)) for cost in costs))
    best = min((options for options in every if cost(options) <= budget), key=loss)
    assert cost(chosen) <= budget
    assert loss(best) <= loss(chosen) + 1e-12
    assert loss(chosen) - loss(best) <= max(float(loss.max()) for loss in losses) / 2
    for layer, option in enumerate(chosen):  # not one rank more fits
        if option + 1 < len(costs[layer]):
            assert cost([*chosen[:layer], option + 1, *chosen[layer + 1 :]]) > budget


def test_a_budget_for_all_changes_nothing_and_the_smallest_gives_rank_1():
    costs, losses = problem(0)
    assert allocate(costs, losses, sum(int(cost.max()) for cost in costs)) == [6, 6, 6, 6]
    assert allocate(costs, losses, sum(int(cost.min()) for cost in costs)) == [0, 0, 0, 0]


def test_no_layers_need_nothing():
    assert allocate([], [], 0) == []
