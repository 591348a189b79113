"""``effdl list``."""

import pytest

from effdl.config.option_keys import knob_of, knobs
from effdl.config.options import BASE, config_folder, option_files


@pytest.mark.parametrize(
    ("argument", "group"), [("models", "model"), ("datasets", "dataset"), ("model", "model"), ("compression",) * 2]
)
def test_every_option_is_listed_with_a_description(effdl, argument, group):
    code, output, _ = effdl("list", argument)
    assert code == 0
    for file in (config_folder() / group).glob("*.yaml"):
        line = next(line for line in output.splitlines() if line.split()[:1] == [file.stem])
        assert len(line.split()) > 2


def test_all_groups_without_an_argument(effdl):
    output = effdl("list")[1]
    groups = {path.parent.relative_to(config_folder()).as_posix() for path in config_folder().rglob("*/*.yaml")}
    assert [group for group in groups if f"{group}=" not in output] == [BASE]


def test_a_wrong_group_is_named(effdl):
    code, _, error = effdl("list", "modls")
    assert code == 2
    assert "did you mean 'models'?" in error


def test_methods_are_listed_by_their_knob(effdl):
    output = effdl("list", "compression")[1]
    places = [
        output.index(word) for word in ("prune=... ", "magnitude ", "quantize=... ", "lsq ", "distill=... ", "logits ")
    ]
    assert places == sorted(places)


@pytest.mark.parametrize("knob", ["prune", "factorize", "quantize", "distill"])
def test_the_methods_of_a_knob(effdl, knob):
    code, output, _ = effdl("list", knob)
    assert code == 0
    assert output.startswith(f"{knob}=... ")
    assert "allowed: " in output
    methods = option_files("compression", config_folder())
    listed = {line.split()[0] for line in output.splitlines() if line}
    assert {name for name, file in methods.items() if knob_of(file) == knob} <= listed
    assert not {name for name, file in methods.items() if knob_of(file) != knob} & listed


def test_the_keys_of_an_option(effdl):
    code, output, _ = effdl("list", "magnitude")
    assert code == 0
    line = next(line for line in output.splitlines() if line.startswith("schedule"))
    assert line.split()[:6] == ["schedule", "one_shot", "one", "of", "one_shot,", "iterative,"]
    assert 'Han, Pool, Tran & Dally 2015, "Learning both Weights' in output
    assert "compression.magnitude.KEY=VALUE" in output
    assert "model.KEY=VALUE" in effdl("list", "resnet")[1]


def test_help_says_what_every_knob_takes(effdl):
    output = effdl("train", "--help")[1]
    for knob in knobs():
        assert f"{knob.name}={knob.default}" in output
        assert knob.takes in output
