"""Claims, how they are read, and what holds."""

import math

import pytest

from effdl.report.reproduction.claims import (
    ABOVE,
    AGREES,
    BELOW,
    FAILS,
    HOLDS,
    NO_RUN,
    SHOWN,
    UNCLEAR,
    claims,
    compare,
    data_of,
    differing,
    holds,
    measured,
    points,
    seeds_of,
)
from effdl.report.reproduction.table import reproduction_table, shown
from effdl.utils.errors import UserError


def group(*values, **more):
    return {"source": "here", "values": list(values), **more}


def value(**more):
    return {"stage": "prune", "metric": "top1", "value": 0.9, "tolerance": 0.01, **more}


def result(dense=0.95, prune=0.9, size=1000):
    return {
        "stages": [{"stage": "dense", "top1": dense}, {"stage": "prune", "top1": prune, "size_bytes": size}],
        "total": {"duration_s": 7.0, "source": {"cpu": "estimated"}, "energy_kwh": None},
    }


def compared(*reported, runs=None):
    return compare(claims(list(reported), "file"), {(): [result()]} if runs is None else runs)


@pytest.mark.parametrize(
    ("top1", "verdict"), [(0.9, HOLDS), (0.9099, HOLDS), (0.8901, HOLDS), (0.911, FAILS), (0.889, FAILS)]
)
def test_a_value_holds_within_its_tolerance_on_both_sides(top1, verdict):
    (row,) = compared(group(value()), runs={(): [result(prune=top1)]})
    assert row["verdict"] == verdict
    assert row["difference"] == top1 - 0.9
    assert holds([row]) == (verdict == HOLDS)


def test_the_mean_over_the_runs_is_compared():
    (row,) = compared(group(value()), runs={(): [result(prune=top1) for top1 in (0.85, 0.9, 0.95)]})
    assert row["measured"] == pytest.approx(0.9)
    assert row["std"] == pytest.approx(0.05)
    assert (row["runs"], row["verdict"]) == (3, HOLDS)


def test_a_difference_to_another_stage():
    (row,) = compared(group(value(relative_to="dense", value=-0.05, tolerance=0.001)))
    assert row["measured"] == pytest.approx(-0.05)
    assert row["verdict"] == HOLDS


def test_a_difference_to_other_overrides_is_that_of_the_means():
    claim = value(compared_with=["lr=1"], value=0.05, tolerance=0.01, interval=[0.04, 0.06])
    (own,) = claims([group(claim)], "file")
    assert (own.points, own.interval) == ([(), ("lr=1",)], (0.04, 0.06))
    assert points([own]) == [(), ("lr=1",)]
    runs = {(): [result(prune=0.91), result(prune=0.93)], ("lr=1",): [result(prune=0.87)]}
    (row,) = compared(group(claim), runs=runs)
    assert (row["measured"], row["verdict"], row["std"]) == (pytest.approx(0.05), HOLDS, None)
    (cells,) = reproduction_table([row], "t").rows
    assert (cells[1], cells[3]) == ("top1 - (lr=1)", "+5.00")
    for there in ((), ("lr=1",)):
        (row,) = compared(group(claim), runs={there: runs[there]})
        assert (row["measured"], row["verdict"]) == (None, NO_RUN)
    (row,) = compared(group({**claim, "tolerance": 0.06}), runs=runs)
    assert row["verdict"] == UNCLEAR


def test_the_images_are_one_fingerprint_or_several():
    assert data_of(claims([group(value(), data="a"), group(value(), data=["b", "c"]), group(value())], "file")) == {
        *"abc"
    }


def test_a_value_without_a_tolerance_decides_nothing():
    (row,) = compared(group({"stage": "total", "metric": "duration_s", "value": 99}))
    assert (row["measured"], row["verdict"]) == (7.0, SHOWN)
    assert holds([row])


def test_what_was_not_measured_or_not_run_does_not_hold():
    (row,) = compared(group({"stage": "total", "metric": "energy_kwh", "value": 1, "tolerance": 99}))
    assert (row["measured"], row["verdict"]) == (None, FAILS)
    (row,) = compared(group(value()), runs={})
    assert (row["measured"], row["runs"], row["verdict"]) == (None, 0, NO_RUN)
    assert not holds([row])


def test_a_paper_stands_beside_our_own_value_of_the_same_thing():
    paper = group(value(value=0.98, tolerance=None), value(stage="dense", value=0.97), paper=True)
    for node in paper["values"]:
        if node.get("tolerance") is None:
            del node["tolerance"]
    del paper["values"][1]["tolerance"]
    first, second = compared(paper, group(value()))
    assert (first["stage"], first["reported"], first["paper"], first["verdict"]) == ("dense", 0.97, 0.97, SHOWN)
    assert (second["reported"], second["paper"], second["verdict"]) == (0.9, 0.98, HOLDS)
    decides = group(value(value=0.98), paper=True)  # where it is said, a paper's value decides too
    assert [row["verdict"] for row in compared(decides, group(value()))] == [FAILS, HOLDS]


@pytest.mark.parametrize(("paper", "verdict"), [(0.905, AGREES), (0.93, BELOW), (0.85, ABOVE)])
def test_whether_it_agrees_with_the_paper_is_another_question(paper, verdict):
    said = value(value=paper)
    del said["tolerance"]
    (row,) = compared(group(said, paper=True), group(value()))
    assert (row["verdict"], row["paper_verdict"]) == (HOLDS, verdict)
    assert holds([row])
    (row,) = compared(group(value()))
    assert row["paper_verdict"] == SHOWN


@pytest.mark.parametrize(("effect", "verdict"), [(-0.055, AGREES), (-0.03, BELOW), (-0.001, BELOW)])
def test_a_papers_difference_too(effect, verdict):
    ours, said = (value(relative_to="dense", value=effect) for effect in (-0.05, effect))
    del said["tolerance"]
    (row,) = compared(group(said, paper=True), group(ours))
    assert (row["verdict"], row["paper_verdict"]) == (HOLDS, verdict)
    (row,) = compared(group(said, paper=True), group({**ours, "tolerance": 0.06}))
    assert row["paper_verdict"] == UNCLEAR


@pytest.mark.parametrize(("effect", "measured", "verdict"), [
    (-0.05, -0.04, HOLDS), (-0.05, -0.07, FAILS), (0.009, -0.01, FAILS), (0.009, 0.001, UNCLEAR), (0.01, 0.01, UNCLEAR)
])  # fmt: skip
def test_a_difference_no_larger_than_its_tolerance_cannot_hold(effect, measured, verdict):
    claim = group(value(relative_to="dense", value=effect, tolerance=0.01))
    (row,) = compared(claim, runs={(): [result(dense=0.9, prune=0.9 + measured)]})
    assert row["verdict"] == verdict
    assert holds([row]) == (verdict != FAILS)


def test_points_and_seeds():
    found = claims([group(value(), value(**{"with": ["a=1", "b=2"]}), seeds=[2, 0]), group(value())], "file")
    assert points(found) == [(), ("a=1", "b=2")]
    assert seeds_of(found) == [0, 2]
    assert seeds_of(claims([group(value())], "file")) == [0]


@pytest.mark.parametrize(
    ("reported", "message"),
    [
        (3, "reported=3: must be a valid list"),
        ([3], "reported[0]=3: must be a valid dictionary"),
        ([{"values": []}], "reported[0].source: Field required"),
        ([{"source": "here"}], "reported[0].values: Field required"),
        ([group(value(), sedes=[1])], "sedes is not a key; did you mean 'seeds'?"),
        ([group(value(tolerence=1))], "tolerence is not a key; did you mean 'tolerance'?"),
        ([group(value(value="much"))], "values[0].value='much': must be a valid number"),
        ([group(value(value=True))], "values[0].value=True: must be a valid number"),
        ([group({"stage": "dense", "value": 1})], "values[0].metric: Field required"),
    ],
)
def test_mistakes_in_what_is_reported_are_named(reported, message):
    with pytest.raises(UserError) as caught:
        claims(reported, "my.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("my.yaml: ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": "prun"}, "stage=prun is no stage of the run; did you mean 'prune'?"),
        ({"metric": "size_byte"}, "metric=size_byte is not a metric of prune; did you mean 'size_bytes'?"),
        ({"metric": "stage"}, "metric=stage is not a metric of prune"),
        ({"relative_to": "dens"}, "stage=dens is no stage"),
    ],
)
def test_stages_and_metrics_that_a_run_has_not(change, message):
    (claim,) = claims([group(value(**change))], "file")
    with pytest.raises(UserError) as caught:
        measured(claim, result())
    assert message in str(caught.value)


def test_what_makes_two_configs_different_experiments():
    config = {
        "seed": 0,
        "epochs": 3,
        "dataset": {"root": "/a"},
        "model": {"weights": "outputs/x"},
        "device": {"name": "cpu", "precision": "fp32"},
        "compression": {"lsq": {"level": 4, "epochs": 1}},
    }
    free = {"seed": 1, "dataset": {"root": "/b"}}
    assert differing(config, {**config, **free}) == []
    other = {**config, "model": {"weights": "/y/z"}}
    assert differing(config, other) == ["model.weights"]
    assert differing(config, other, lambda mine, theirs: (mine, theirs) == ("outputs/x", "/y/z")) == []
    assert differing(config, {**config, "device": {"name": "cuda", "precision": "fp32"}}) == []
    assert differing(config, {**config, "device": {"name": "cpu", "precision": "bf16"}}) == ["device.precision"]
    assert differing(config, {**config, "epochs": 4}) == ["epochs"]
    assert differing(config, {**config, "model": {"weights": None}}) == ["model.weights"]
    other = {**config, "compression": {"int8": {"level": "int8", "images": 9}}}
    assert differing(config, other) == ["compression.lsq", "compression.int8"]
    idle = {"magnitude": {"level": None, "epochs": 1}, "int8": {"level": 0}}
    assert differing(config, {**config, "compression": {**idle, **config["compression"]}}) == []
    assert differing({**config, "compression": {}}, {**config, "compression": idle}) == []


def test_numbers_are_shown_in_their_unit():
    assert shown(0.9841, "top1") == "98.41 %"
    assert shown(-0.0032, "top1", signed=True) == "-0.32"
    assert shown(87312.5, "size_bytes") == "87.3 KB"
    assert shown(22000.0, "params_nonzero") == "22,000"
    assert shown(None, "top1") == "-"
    assert not math.isnan(float(shown(1.5, "unknown")))


def test_the_table_has_a_row_for_each_value():
    rows = compared(group(value()), group(value(value=0.8), value(stage="dense"), paper=True))
    assert len(reproduction_table(rows, "mine").rows) == 3
