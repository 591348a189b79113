"""What runs are called."""

from effdl.report.naming import common, differing_keys, distinctions, flat_settings, names, settings, shortened

STEP = {
    "option": "magnitude",
    "stage": "prune",
    "level": None,
}
CONFIG = {
    "model": {"option": "mlp", "hidden": [64]},
    "dataset": {"option": "digits", "pad": 1, "root": None},
    "compression": {"magnitude": STEP},
    "augment": {},
    "prune": None,
    "epochs": 2,
    "seed": 0,
    "resume": False,
}
PRUNED = {"prune": 0.5, "compression": {"magnitude": {**STEP, "level": 0.5}}}


def test_settings_leave_out_what_is_off_and_what_a_level_repeats():
    config = {**CONFIG, **PRUNED, "augment": {"flip": {"option": "flip", "pad": 1}}}
    assert settings(config) == {
        "compression": "magnitude",
        "augment": "flip",
        "model": "mlp",
        "model.hidden": [64],
        "dataset": "digits",
        "dataset.pad": 1,
        "augment.flip.pad": 1,
        "prune": 0.5,
        "epochs": 2,
        "seed": 0,
    }
    assert "compression" not in settings(CONFIG)


def test_names_are_as_short_as_can_be():
    runs = [{"distill": "/far/away/teacher", "a.lr": 1, "b.lr": 1}, {"distill": None, "a.lr": 2, "b.lr": 2}]
    assert names(runs) == ["distill=teacher", "run"]  # a.lr says nothing that distill does not say
    assert names(runs, without=("distill",)) == ["a.lr=1", "a.lr=2"]
    assert names([{"x.deep": True}, {"x.deep": False}]) == ["deep=true", "deep=false"]


def test_what_a_sweep_varies_is_told_of_all_its_runs():
    runs = [{"prune": 0.5, "lr": 1, "a": 1}, {"prune": 0.5, "lr": 2, "a": 2}, {"prune": 0.9, "lr": 1, "a": 3}]
    assert names(runs, swept=["lr", "elsewhere"]) == ["prune=0.5 lr=1", "prune=0.5 lr=2", "prune=0.9 lr=1"]
    assert names(runs)[2] == "prune=0.9"


def test_what_all_runs_have_in_common():
    runs = [{"model": "mlp", "dataset": "digits"}, {"model": "vgg", "dataset": "digits", "prune": 0.5}]
    assert common(runs) == "dataset=digits"
    assert common(runs[:1]) == "model=mlp dataset=digits"
    assert common([*runs, {}]) == ""


def test_few_settings_tell_runs_apart():
    runs = [
        {"model": model, "model.depth": depth, "optimizer.lr": lr, "a.b.epochs": lr}
        for model, depth in (("resnet", 20), ("mlp", 2))
        for lr in (0.1, 0.2)
    ]
    assert distinctions(runs) == ["model=resnet lr=0.1", "model=resnet lr=0.2", "model=mlp lr=0.1", "model=mlp lr=0.2"]
    assert distinctions([{"a": 1}, {"a": 1}]) == ["", ""]
    assert distinctions([{"model": "mlp", "prune": 0.5}, {"model": "vgg", "prune": 0.9}]) == ["model=mlp", "model=vgg"]
    assert distinctions([{"prune": 0.5, "lr": 1}, {"prune": 0.5, "lr": 2}, {"prune": 0.9, "lr": 1}]) == [
        "prune=0.5 lr=1",
        "prune=0.5 lr=2",
        "prune=0.9",
    ]


def test_the_settings_of_a_flat_config():
    config = {"model.option": "mlp", "compression.x.level": 1, "compression.x.option": "magnitude", "prune": 0.5}
    config |= {"compression.x.rounds": 3, "augment.cutout.option": "cutout", "compression.y.option": "int8"}
    assert flat_settings(config) == {
        "compression": "x,y",
        "augment": "cutout",
        "model": "mlp",
        "prune": 0.5,
        "compression.x.rounds": 3,
    }
    assert flat_settings({"compression.x.level": 1}) == {}


def test_shortened_keys_are_unambiguous():
    keys = {"epochs", "a.epochs", "a.lr", "b.lr", "c.momentum"}
    assert shortened(keys) == {
        "epochs": "epochs",
        "a.epochs": "a.epochs",
        "a.lr": "a.lr",
        "b.lr": "b.lr",
        "c.momentum": "momentum",
    }


def test_differing_keys():
    a, b = {"x": 1, "y": 1, "s.option": "f", "s.level": 2}, {"x": True, "y": 1}
    assert differing_keys([a, b]) == ["x", "s.option"]
    assert differing_keys([a]) == []
