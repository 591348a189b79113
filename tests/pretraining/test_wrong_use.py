"""What a run with pretraining refuses before it trains: one line, exit code 2, nothing left behind."""

import pytest

pytest.importorskip("lightly")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            ["dataset.val=0"],
            "dataset.val=0: pretraining=simclr needs a validation split, whose labels say how good its features are "
            "(allowed: above 0)",
        ),
        (
            ["pretraining.batch_size=1"],
            "pretraining=simclr: a batch is one image, and images are compared (allowed: pretraining.batch_size=2)",
        ),
        (
            ["pretraining=masked"],
            "pretraining=masked: this model has no patches that could be left out (allowed: model=vit)",
        ),
        (["pretraining.temperature=0"], "pretraining.temperature=0: allowed is a number > 0"),
        (["pretraining.views.crop=0"], "pretraining.views.crop=0: allowed is a number > 0 and <= 1, or null"),
    ],
)
def test_wrong_use_is_one_message(effdl, tmp_path, typed, message):
    code, out, err = effdl("train", "model=mlp", "pretraining=simclr", *typed, "hydra.run.dir=run")
    assert (code, out, err.strip()) == (2, "", f"effdl: {message}")
    assert not (tmp_path / "run").exists()
