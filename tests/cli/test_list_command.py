"""``effdl list``."""

import pytest

from effdl.config.options import BASE, config_folder


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
