"""The Pareto front, against its definition and against Optuna's."""

import random

import pytest

from effdl.measure.pareto import front


def by_definition(points, goals):
    """All points for which no other is as good everywhere and better somewhere."""
    signs = [1 if goal == "min" else -1 for goal in goals]
    costs = [[sign * value for sign, value in zip(signs, point, strict=True)] for point in points]

    def beaten(cost):
        return any(all(a <= b for a, b in zip(o, cost, strict=True)) and o != cost for o in costs)

    return {i for i, cost in enumerate(costs) if not beaten(cost)}


def test_by_hand():
    points = [(10, 0.9), (20, 0.9), (5, 0.8), (30, 0.95), (40, 0.94), (5, 0.8)]
    assert front(points, ("min", "max")) == [2, 5, 0, 3]  # equal points are on it together
    assert front(points, ("max", "min")) == [4, 1, 2, 5]  # 40 at 0.94, 20 at 0.9; 30 at 0.95 is beaten by 40


@pytest.mark.parametrize("goals", [("min", "max"), ("max", "max"), ("min", "min", "max"), ("max",), ("min",) * 4])
@pytest.mark.parametrize("distinct", [4, 1000])
def test_is_what_the_definition_says(goals, distinct):
    draw = random.Random(len(goals) * distinct)
    points = [tuple(draw.randrange(distinct) for _ in goals) for _ in range(150)]
    found = front(points, goals)
    assert set(found) == by_definition(points, goals)
    assert len(found) == len(set(found))
    assert [points[i][0] for i in found] == sorted((points[i][0] for i in found), reverse=goals[0] == "max")


def test_is_optunas_front():
    optuna = pytest.importorskip("optuna", reason="needs optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    draw = random.Random(0)
    points = [(draw.random(), draw.random()) for _ in range(60)]
    study = optuna.create_study(directions=["minimize", "maximize"])
    for point in points:
        study.add_trial(optuna.trial.create_trial(values=point))
    assert sorted(front(points, ("min", "max"))) == sorted(trial.number for trial in study.best_trials)


def test_one_point_and_none():
    assert front([(3, 1)], ("min", "max")) == [0]
    assert front([], ("min", "max")) == []
    assert front([(1, float("inf")), (2, 5)], ("min", "min")) == [0, 1]


def test_what_is_refused():
    with pytest.raises(ValueError, match="smallest"):
        front([(1, 2)], ("min", "smallest"))
    with pytest.raises(ValueError, match="NaN"):
        front([(1, float("nan"))], ("min", "max"))
    with pytest.raises(ValueError, match="zip"):
        front([(1, 2, 3)], ("min", "max"))
