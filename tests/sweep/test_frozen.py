"""Copies of config folders that a sweep was launched with."""

from pathlib import Path

import pytest

from effdl.config.options import config_folder
from effdl.sweep.folder import freeze
from effdl.sweep.frozen import check_frozen
from effdl.utils.errors import UserError


@pytest.fixture
def own(tmp_path):
    """A user's folder."""
    folder = tmp_path / "own"
    (folder / "model").mkdir(parents=True)
    (folder / "code.py").write_text("def model(): pass\n")
    (folder / "model" / "mine.yaml").write_text("_target_: code.model\nwidth: 1\n")
    return folder


@pytest.fixture
def copies(own, tmp_path):
    """Of that and of the shipped one."""
    return freeze([own, config_folder()], tmp_path)


def test_copies_of_what_is_there_may_be_run(own, copies):
    check_frozen(copies, [own, config_folder()])
    check_frozen(copies[1:], [config_folder()])


def test_later_changes_of_values_do_not_matter(own, copies):
    (own / "model" / "mine.yaml").write_text("_target_: code.model\nwidth: 2\n")
    check_frozen(copies, [own, config_folder()])


@pytest.mark.parametrize(
    ("number", "name", "text"),
    [
        (0, "code.py", "import os\n"),
        (0, "more.py", "import os\n"),
        (0, "model/mine.yaml", "_target_: os.system\n"),
        (0, "model/mine.yaml", "width: 1\ninner: {x: [{_target_: os.system}]}\n"),
        (1, "model/resnet.yaml", "_target_: os.system\n"),
        (1, "model/more.yaml", "_target_: os.system\n"),
        (1, "hydra/launcher/mine.yaml", "setup: [touch hacked]\n"),
        (1, "train.yaml", "hydra: {searchpath: [file:///]}\n"),
        (0, "experiment/x.yaml", "# @package _global_\ndefaults: [{override /hydra/launcher: submitit_local}]\n"),
        (0, "experiment/x.yaml", "# @package _global_\nhydra: {run: {dir: x}}\n"),
    ],
)
def test_copies_with_other_code_are_refused(own, copies, number, name, text):
    file = copies[number] / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    with pytest.raises(UserError, match=rf"{Path(name).name} names code, and is not what .* says today \(--trust"):
        check_frozen(copies, [own, config_folder()])


def test_a_lost_or_damaged_copy_is_named(own, copies):
    (copies[1] / "model" / "resnet.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"resnet\.yaml is damaged"):
        check_frozen(copies, [own, config_folder()])
    with pytest.raises(UserError, match="copy of its config files is missing"):
        check_frozen([copies[0] / "none"], [own])
