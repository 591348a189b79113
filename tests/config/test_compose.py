"""Composing a config, and what is said when it cannot be composed."""

import sys

import pytest

from effdl.config.compose import allow_code_of, composed, settings, variants
from effdl.utils.errors import UserError


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of one's own configs, with a model whose code lies beside them."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "model").mkdir()
    (tmp_path / "model/mine.yaml").write_text("_target_: mine.net\nsize: 3\n")
    return tmp_path


def test_the_shipped_defaults():
    config = settings(composed([], None))
    assert (config["seed"], config["model"]["_target_"]) == (0, "effdl.models.resnet.resnet")
    assert "hydra" not in config
    assert "reported" not in config


def test_overrides_count_and_references_are_resolved():
    config = settings(composed(["dropout=0.3", "model=mlp", "epochs=7"], None))
    assert (config["epochs"], config["model"]["dropout"]) == (7, 0.3)


def test_own_files_are_options_beside_the_shipped_ones(own):
    assert composed(["model=mine"], str(own)).model.size == 3
    assert "hidden" in composed(["model=mlp"], str(own)).model
    with pytest.raises(UserError, match="model=mine is not an option"):
        composed(["model=mine"], None)
    assert str(own) in sys.path


def test_a_folder_that_is_not_there():
    with pytest.raises(UserError, match="--config-dir /nowhere: no such folder"):
        allow_code_of("/nowhere")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=resnt", r"model=resnt is not an option; did you mean 'resnet'\? \(allowed: .*mlp"),
        ("epoch=3", "epoch is not a key; did you mean 'epochs'?"),
        ("optimizer.lrr=3", "optimizer.lrr is not a key; did you mean 'optimizer.lr'?"),
        ("dataset.root=x", "dataset.root is not a key here; it is one of dataset=.*, image_folder, imagenet"),
        ("epochs", "epochs: not a KEY=VALUE override"),
        ("compression=[magnitude,magnitude]", "an option can be in the list once"),
    ],
)
def test_mistakes_are_named(override, message):
    with pytest.raises(UserError, match=message):
        composed([override], None)


@pytest.mark.parametrize("overrides", [["epochs=1,2", "prune=null,0.5"], ["model=mlp,lenet5", "model.dropout=0.1,0.2"]])
def test_variants_are_what_hydra_composes(overrides):
    first, second = (text.partition("=") for text in overrides)
    (a, b), (x, y) = first[2].split(","), second[2].split(",")
    jobs = [(a, x), (a, y), (b, x), (b, y)] if first[0] == "model" else [(a, x), (b, x), (a, y)]
    expected = [composed([f"{first[0]}={one}", f"{second[0]}={other}"], None) for one, other in jobs]
    assert [settings(config) for _, config in variants(overrides, None)] == [settings(config) for config in expected]
