"""Keys, what they take and mean: all of them, as the config files and the signatures say."""

import pytest

from effdl.config.identity import flatten
from effdl.config.option_keys import Key, keys_of, knob_of, knobs, knobs_text, papers_of
from effdl.config.options import config_folder, content, option_files
from effdl.config.schema import LEVELS, Settings

METHODS = option_files("compression", config_folder())


def test_a_run_has_these_keys():
    found = {key.name: key for key in knobs()}
    assert found.keys() == Settings.__annotations__.keys()
    assert list(found)[:4] == list(LEVELS)
    assert found["factorize"] == Key(
        "factorize", "null", "a number >= 0 and < 1, or null", "fraction of the MACs that smaller factors save"
    )
    assert found["epochs"] == Key("epochs", "20", "a whole number >= 0", "")


def test_the_text_has_every_key_with_what_it_takes():
    text = knobs_text()
    for key in knobs():
        assert f"  {key.name}={key.default}" in text
        assert key.takes in text
        assert key.meaning in text
    assert "$" not in text  # Hydra fills its template in by that sign


def test_the_keys_of_a_method_with_those_of_its_base_and_inside_of_it():
    found = {key.name: key for key in keys_of("compression", METHODS["snip"])}
    assert found["scope"] == Key(
        "scope", "global", "one of global, layer", "one ranking for all layers; layer: the same fraction of each"
    )
    assert found["criterion.images"] == Key(
        "criterion.images", "128", "a whole number >= 1", "training images to look at"
    )
    assert found["level"].default == "prune="


@pytest.mark.parametrize("group", ["compression", "model", "dataset", "optimizer", "scheduler", "augment", "logger"])
def test_every_key_of_every_option_says_what_it_takes(group):
    for name, file in option_files(group, config_folder()).items():
        if "_target_" not in content(file):
            continue
        keys = {key.name: key for key in keys_of(group, file)}
        flat = flatten(content(file))
        assert keys.keys() == {key for key in flat if key.split(".")[-1] not in ("_target_", "_partial_", "stage")}, (
            name
        )
        assert all(key.takes for key in keys.values()), name


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_knob_and_names_its_papers(name):
    assert knob_of(METHODS[name]) in LEVELS
    if name not in ("half", "random"):  # which nobody had to invent
        assert papers_of(METHODS[name])


def test_the_paper_of_a_method():
    assert papers_of(METHODS["lsq"]) == ['Esser et al. 2020, "Learned Step Size Quantization"']
    first = papers_of(METHODS["snip"])[0]
    assert first == 'Lee, Ajanthan & Torr 2019, "SNIP: Single-shot Network Pruning based on Connection Sensitivity"'
