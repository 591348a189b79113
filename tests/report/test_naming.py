"""What runs are called."""

from effdl.report.naming import differing_keys, names, settings, shortened

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
