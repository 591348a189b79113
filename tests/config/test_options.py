"""What the shipped files say, and what of it is code."""

import pytest

from effdl.config.options import code_of, config_folder, description, option_files, own_folder, shipped_code
from effdl.utils.errors import UserError


def test_the_folder_of_the_configs():
    assert (config_folder() / "train.yaml").is_file()


def test_own_files_have_names_of_their_own(tmp_path):
    """Hydra reads the shipped one of two files: what lists and errors call the user's must not be another."""
    assert own_folder(config_folder()) == config_folder()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tiny.yaml").write_text("")
    assert own_folder(tmp_path) == tmp_path
    (tmp_path / "model" / "mlp.yaml").write_text("")
    with pytest.raises(UserError, match=r"--config-dir \S+: model/mlp.yaml has the name of a shipped file"):
        own_folder(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        own_folder(tmp_path / "nowhere")


def test_options_of_several_folders(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, names in ((one, ("b", "a")), (other, ("c",))):
        (folder / "model").mkdir(parents=True)
        for name in names:
            (folder / "model" / f"{name}.yaml").write_text("")
    (one / "model" / "notes.txt").write_text("")
    assert option_files("model", one, other) == {
        "a": one / "model/a.yaml",
        "b": one / "model/b.yaml",
        "c": other / "model/c.yaml",
    }
    assert list(option_files("model", one, other)) == ["a", "b", "c"]
    assert option_files("nothing", one) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# @package _global_\n# A small net\n# and more\na: 1\n", "A small net"),
        ("a: 1  # not this\n#What it is\n", "What it is"),
        ("a: 1\n", ""),
    ],
)
def test_the_first_comment_describes_a_file(text, expected, tmp_path):
    (tmp_path / "x.yaml").write_text(text)
    assert description(tmp_path / "x.yaml") == expected


def test_code_is_found_at_any_depth():
    node = {"_target_": "a.b", "keys": {"_target_": "c.d", "_partial_": True, "n": 1}, "plain": {"n": 2}, "m": [3]}
    assert code_of(node) == {"_target_": "a.b", "keys._target_": "c.d", "keys._partial_": True}
    assert code_of({"a": 1}) == {}


def test_code_of_files_that_take_over_others():
    """``compression/magnitude.yaml`` has a criterion, which is code inside of code."""
    code = shipped_code("compression")["magnitude"]
    assert code["_target_"] == "effdl.compression.prune.unstructured.prune"
    assert code["criterion._target_"] == "effdl.compression.prune.criteria.magnitude.magnitude"
