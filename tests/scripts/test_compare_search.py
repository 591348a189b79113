"""The budgets that are drawn, and who is called better."""

import importlib.util
import sys
from pathlib import Path

import pytest
from optuna.trial import FixedTrial

from effdl.search.choices import FLOAT, Choice
from effdl.search.goal import parse_goal

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare_search.py"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("compare_search", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("pages", None)


def test_budgets_are_drawn_by_a_seed(script):
    assert script.draw(10, 0) == script.draw(10, 0) != script.draw(10, 1)
    goals = [parse_goal(words) for words in script.draw(10, 0)]
    assert len({goal.objective for goal in goals}) == 3
    assert len({goal.bounds for goal in goals}) == 10


def test_what_keeps_to_the_bounds_is_better(script):
    goal = parse_goal(["budget.top1=0.9", "minimize=size_bytes"])

    def found(*rows):
        measured = [dict(zip(("val_top1", "size_bytes"), row, strict=True)) for row in rows]
        return {
            "trials": [{"measured": row, "predicted": {}} for row in measured],
            "kept": any(row[0] >= 0.9 for row in rows),
        }

    small, large = found((0.91, 5000), (0.95, 7000)), found((0.9, 6000))
    bad, none = found((0.8, 9), (0.89, 40)), found()
    assert script.best(small, goal)[:2] == (0, 5000)
    assert script.best(bad, goal)[:2] == (pytest.approx(0.01), 40)
    results = [{"search": one, "random": other, "nsga2": bad} for one, other in ((small, large), (large, small))]
    assert [script.line([], goal, result)[1] for result in results] == [True, False]
    assert script.line([], goal, {"search": small, "random": none, "nsga2": bad})[0][1:6] == [
        "holds",
        "5.0 KB",
        "-",
        "misses by 0.01",
        "2 / 0 / 2",
    ]


def test_errors_of_predictions(script):
    told = [{"size_bytes": 100.0, "val_top1": 0.9}, {"val_top1": 0.8}, {}]
    trials = [{"predicted": one, "measured": {"size_bytes": 103.0, "val_top1": 0.91}} for one in told]
    errors = script.prediction_errors(trials)
    assert errors == {"size": [pytest.approx(0.03)], "top1": [pytest.approx(0.01), pytest.approx(0.11)]}


def test_plans_are_drawn_of_the_choices_that_the_search_has(script):
    draw = FixedTrial({"thin": True, "filters": 0.5, "0.sparsity": 0, "0.bits": 0, "2.sparsity": 2, "2.bits": 6})
    plan = script.drawn_plan(draw, ["0", "2"], ["top1", "size_bytes"])
    assert (plan.filters, plan.layers) == (0.5, {"0": Choice(0.0, 2), "2": Choice(0.5, FLOAT)})
