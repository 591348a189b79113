"""Overrides as people type them."""

import re

import pytest

from effdl.config.overrides import (
    check_lists,
    key_of,
    parse,
    quote,
    readable,
    resume_folder,
    swept,
    value_of,
    values_of,
    variations,
    without,
)
from effdl.utils.errors import UserError


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("epochs=3", "epochs"),
        ("++optimizer.lr=0.1", "optimizer.lr"),
        ("~logger", "logger"),
        ("+model@teacher=resnet", "model"),
        ("a=b=c", "a"),
    ],
)
def test_the_key(override, key):
    assert key_of(override) == key


def test_the_last_value_counts():
    overrides = ["epochs=3", "seed=1", "+epochs=4", "~epochs"]
    assert value_of(overrides, "epochs") == "4"
    assert value_of(overrides, "seed") == "1"
    assert value_of(overrides, "prune") is None
    assert value_of(["a=b=c"], "a") == "b=c"


def test_overrides_of_other_keys():
    overrides = ["resume=true", "hydra.job.env_set.X=1", "hydra.job.name=a", "++resume=false", "resumed=1"]
    assert without(overrides, "resume", "hydra.job.env_set.") == ["hydra.job.name=a", "resumed=1"]
    assert without(overrides) == overrides


@pytest.mark.parametrize(
    ("overrides", "folder"),
    [
        (["resume=outputs/x"], "outputs/x"),
        (["resume=true"], None),
        (["resume=False"], None),
        ([], None),
        (["resume=a", "resume=true"], None),
    ],
)
def test_the_folder_to_resume(overrides, folder):
    assert resume_folder(overrides) == folder


@pytest.mark.parametrize("path", ["a b", "it's", "a,b", "x=y", "back\\slash", "end\\", "quo\\'te", "[1]", "${x}"])
def test_a_quoted_path_is_read_as_it_is(path):
    [override] = parse([f"hydra.run.dir={quote(path)}"])
    assert override.value() == path
    assert not override.is_sweep_override()


@pytest.mark.parametrize("text", ["epochs", "prune=[1,2"])
def test_what_is_no_override_is_refused(text):
    with pytest.raises(UserError):
        parse([text])


def test_keys_with_several_values():
    found = swept(["epochs=1,2", "seed=3", "lr=interval(0,1)", "model=glob(*)", "topk=[1,2]"])
    assert [override.key_or_group for override in found] == ["epochs", "lr", "model"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("seed=3", ["seed=3"]),
        ("epochs=1,2", ["epochs=1", "epochs=2"]),
        ("topk=[1],[1,5]", ["topk=[1]", "topk=[1,5]"]),
        ("seed=range(0,3)", ["seed=0", "seed=1", "seed=2"]),
        ("optimizer.lr=interval(0.1,0.3)", ["optimizer.lr=0.1", "optimizer.lr=0.3"]),
        ("optimizer=glob(adam*)", ["optimizer=adam", "optimizer=adamw"]),
    ],
)
def test_the_values_of_a_sweep(text, values):
    [override] = parse([text])
    assert list(values_of(override)) == values


def test_a_pattern_that_fits_no_option():
    [override] = parse(["model=glob(nothing*)"])
    with pytest.raises(UserError, match=r"fits none of .*resnet"):
        list(values_of(override))


def test_all_values_and_not_all_combinations():
    assert list(variations(["a=1,2,3", "b=x", "c=7,8"])) == [
        ["a=1", "b=x", "c=7"],
        ["a=2", "b=x", "c=7"],
        ["a=3", "b=x", "c=7"],
        ["a=1", "b=x", "c=8"],
    ]


def test_all_combinations_of_options_as_they_decide_what_keys_there_are():
    assert list(variations(["model=mlp,lenet5", "seed=1,2", "dataset=digits,mnist"]))[:3] == [
        ["model=mlp", "seed=1", "dataset=digits"],
        ["model=mlp", "seed=2", "dataset=digits"],
        ["model=mlp", "seed=1", "dataset=mnist"],
    ]
    assert len(list(variations(["model=mlp,lenet5", "seed=1,2,3", "dataset=digits,mnist"]))) == 2 * 2 * 3


def test_what_is_hydras_is_not_swept():
    with pytest.raises(UserError, match=r"hydra.launcher.n_jobs=1,2: what is Hydra's is the same for all jobs"):
        list(variations(["hydra.launcher.n_jobs=1,2"]))


def test_an_option_twice_in_a_list_is_refused():
    check_lists(parse(["compression=[magnitude,int8]", "topk=[1,1]"]))
    with pytest.raises(UserError, match="an option can be in the list once"):
        check_lists(parse(["compression=[magnitude,magnitude]"]))


@pytest.mark.parametrize("text", ["compression=-1", "metric=-0.0", "augment=0", "model={hidden:[8]}", "energy=false"])
def test_what_is_no_option_of_a_group_is_named(text):
    with pytest.raises(UserError, match=re.escape(f"{text}: allowed is the name of an option, or [A,B]")):
        check_lists(parse([text]))


def test_an_empty_override_is_named():
    with pytest.raises(UserError, match="'': not a KEY=VALUE override"):
        parse([""])


def test_a_path_that_is_not_in_the_grammar_is_quoted(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    given = [
        "dataset.root=~/data",
        "dataset.root=/data/My Photos (1)",
        "prune=0.5",
        "seed=0,1",
        "~dropout",
    ]
    assert readable(given) == [
        "dataset.root='/home/me/data'",
        "dataset.root='/data/My Photos (1)'",
        *("prune=0.5", "seed=0,1", "~dropout"),
    ]
    values = [override.value() for override in parse(readable(given[:2]))]
    assert values == ["/home/me/data", "/data/My Photos (1)"]


@pytest.mark.parametrize(
    "text",
    ["seed=range(0,3)", "x='a b'", "x=[a b", "x={a: 1}", "x=${oc.env:HOME}", "x=a b", "resume=My Run (1)", "=", "x"],
)
def test_what_has_structure_or_parses_stays_as_it_is(text):
    assert readable([text]) == [text]
