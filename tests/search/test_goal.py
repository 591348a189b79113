"""What a search is asked."""

import pytest

from effdl.search.goal import LATENCY_PART, Bound, Goal, parse_goal
from effdl.search.trial import readable
from effdl.utils.errors import UserError


def test_bounds_objective_and_limits():
    goal = parse_goal(["budget.top1=0.97", "minimize=size_bytes", "limit.trials=30", "limit.hours=0.5"])
    assert goal == Goal((Bound("top1", 0.97),), "size_bytes", 30, 0.5)
    assert parse_goal(["budget.size_bytes=12e3", "maximize=top1"]) == Goal((Bound("size_bytes", 12000),), "top1", 12)


def test_two_objectives_are_a_front():
    goal = parse_goal(["minimize=loss", "minimize=macs"])
    assert goal == Goal((), "macs", 12, against="loss")
    assert goal.keys == ["macs", "loss"]
    assert goal.answer({"val_loss": 0.5, "loss": 0.1}) == -0.5
    assert goal.holds({})


@pytest.mark.parametrize("words", [["minimize=macs", "minimize=size_bytes"], ["maximize=top1", "minimize=loss"]])
def test_a_front_is_of_an_answer_and_a_cost(words):
    with pytest.raises(UserError, match=f"{' '.join(words)}: not what a search optimizes .allowed: .* for a front"):
        parse_goal(words)


def test_what_is_compared_is_of_the_validation_split():
    assert [Bound(key, 1.0).column for key in ("top1", "loss", "macs")] == ["val_top1", "val_loss", "macs"]
    goal = parse_goal(["budget.top1=0.9", "minimize=size_bytes"])
    assert goal.holds({"val_top1": 0.9, "top1": 0.1})
    assert not goal.holds({"val_top1": 0.89, "top1": 1.0})


def test_a_bound_may_be_relative_to_the_dense_model():
    goal = parse_goal(["budget.top1=dense-0.01", "budget.macs=0.35*dense", "minimize=size_bytes"])
    top1, macs = goal.resolved({"val_top1": 0.98, "macs": 200}).bounds
    assert (top1.value, macs.value) == (pytest.approx(0.97), pytest.approx(70))
    with pytest.raises(UserError, match=r"budget\.macs: the dense model has no macs"):
        goal.resolved({"val_top1": 0.98})


def test_a_part_of_the_dense_latency_is_what_was_measured_in_turns():
    goal = parse_goal(["budget.latency_ms=0.35*dense", "maximize=top1"]).resolved({"latency_ms": 2.0})
    dense = {"val_top1": 0.95, "latency_ms": 2.0}
    slow_machine = readable([dense, {"val_top1": 0.9, "top1": 0.8, "latency_ms": 5.0, "speedup": 4.0}])
    assert slow_machine[LATENCY_PART] == 0.25
    assert "top1" not in slow_machine
    assert goal.holds(slow_machine)
    assert not goal.holds(readable([dense, {"val_top1": 0.9, "latency_ms": 0.1, "speedup": 2.0}]))
    assert not goal.holds(readable([dense, {"val_top1": 0.9, "latency_ms": 0.1}]))  # not timed in turns
    assert readable([dense])[LATENCY_PART] == 1
    assert readable([{**dense, "latency_ms": None}])[LATENCY_PART] is None  # it could not be timed


def test_how_far_a_bound_is_missed():
    assert Bound("top1", 0.97).excess({"val_top1": 0.95}) == pytest.approx(0.02)
    assert Bound("size_bytes", 1000.0).excess({"size_bytes": 1100}) == pytest.approx(0.1)
    assert Bound("size_bytes", 1000.0).excess({"size_bytes": 900}) == pytest.approx(-0.1)
    assert Bound("latency_ms", 1.0).excess({"latency_ms": None}) == float("inf")
    goal = Goal((Bound("top1", 0.97), Bound("macs", 100.0)), "size_bytes", 1)
    assert goal.worst({"val_top1": 0.95, "macs": 150}).key == "macs"


def test_a_cost_is_low_where_the_objective_is_good():
    assert Goal((), "size_bytes", 1).cost({"size_bytes": 3}) == 3
    assert Goal((), "top1", 1).cost({"val_top1": 0.5, "top1": 0.9}) == -0.5
    assert Goal((), "top1", 1).cost({}) == float("inf")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["budget.top1=0.9"], "no minimize="),
        (["minimize=macs", "maximize=top1", "minimize=params"], "not what a search optimizes"),
        (["minimize=macs"], "no budget.KEY=BOUND"),
        (["budget.size_byte=9", "minimize=macs"], "'size_byte' is not among .* did you mean 'size_bytes'"),
        (["budget.top1=high", "minimize=macs"], "budget.top1=high: allowed is a number, such as 0.97"),
        (["budget.macs=-1", "minimize=macs"], "budget.macs=-1: allowed is a number, such as 12e3"),
        (["budget.top1=0.9", "maximize=macs"], "allowed is minimize=macs"),
        (["budget.top1=0.9", "minimize=macs", "limit.trials=0"], "limit.trials=0: allowed is a number above 0"),
        (["budget.top1=0.9", "minimize=macs", "limit.trials=1.5"], "allowed is a whole number"),
        (["budget.top1=0.9", "minimize=macs", "limit.days=1"], "'days' is not among trials, hours, co2eq_g"),
    ],
)
def test_mistakes(words, message):
    with pytest.raises(UserError, match=message):
        parse_goal(words)
