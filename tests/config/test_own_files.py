"""A user's config files that are none, or that explode, are one message that names the file, at once."""

import os
import time

import pytest

from effdl.config.options import own_folder
from effdl.config.own_files import check_own_files
from effdl.utils.errors import UserError

LAUGHS = "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
WRONG = {
    "laughs": (LAUGHS, "allowed is one document of 20,000 values"),
    "merged laughs": (
        "a: &a {x: 1}\n"
        + "".join(f"k{n}: &k{n} {{l: *{b}, r: *{b}}}\n" for n, b in enumerate(["a", *(f"k{n}" for n in range(30))])),
        "allowed is one document of 20,000 values",
    ),
    "long laughs": ("a: &a " + "x" * 100_000 + "\nb: [" + ", ".join(["*a"] * 1000) + "]\n", "allowed is one document"),
    "many values": ("a: [" + "1, " * 30_000 + "1]\n", "allowed is one document of 20,000 values"),
    "deep": ("a: " + "[" * 100_000 + "]" * 100_000, "allowed is one document"),
    "open": ("[" * 500_000, "allowed is one document"),
    "an alias of what it is in": ("a: &a [1, *a]\n", "the alias *a repeats nothing, or what it is in"),
    "an alias of itself": ("&a {b: *a}\n", "the alias *a repeats nothing, or what it is in"),
    "an alias of the second of a name": ("a: &a 1\nb: &a [*a]\n", "the alias *a repeats nothing, or what it is in"),
    "an alias of nothing": ("a: *b\n", "the alias *b repeats nothing"),
    "a list": ("- a\n- b\n", "holds a list: allowed are lines of KEY: VALUE"),
    "a text": ("hello\n", "holds a str: allowed are lines of KEY: VALUE"),
    "two documents": ("a: 1\n---\nb: 2\n", "allowed is one document"),
    "not YAML": ("a: [1, 2\nb: }", "is not a config in YAML"),
    "a tab": ("a:\n\tb: 1\n", "is not a config in YAML: found character that cannot start any token in line 2"),
    "code": (
        "a: !!python/object/apply:os.system [true]\n",
        "is not a config in YAML: could not determine a constructor",
    ),
    "a day that is none": ("a: 2026-99-99\n", "is not a config in YAML: month must be in 1..12"),
    "a list as key": ("? [a]\n: 1\n", "is not a config in YAML: found unhashable key in line 1"),
    "UTF-16": ("a: é\n".encode("utf-16"), "is not UTF-8 text (byte 0 is 0xff)"),
    "Latin-1": ("a: é\n".encode("latin-1"), "is not UTF-8 text (byte 3 is 0xe9)"),
    "zeros": (bytes(100), "is not a config in YAML"),
    "large": ("#" * (1 << 20) + "\n", "is too large for a config: allowed are 1,048,576 bytes"),
    "itself": ("defaults:\n  - x\n  - _self_\na: 1\n", "its defaults lead back to itself (model/x > model/x)"),
    "itself by a path": ("defaults: [/model/x@_here_]\n", "its defaults lead back to itself (model/x > model/x)"),
    "itself by a group": ("defaults: [{/model: x}]\n", "its defaults lead back to itself (model/x > model/x)"),
    "itself by a list": ("defaults: [{optional /model@y: [x.yaml]}]\n", "its defaults lead back to itself"),
    "all": ("defaults: [/train]\n", "its defaults lead back to itself (model/x > train)"),
}


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine" / "model").mkdir(parents=True)
    return tmp_path / "mine"


def write(file, text):
    file.write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_is_no_config_is_named_at_once(mine, case):
    text, message = WRONG[case]
    write(mine / "model" / "x.yaml", text)
    start = time.process_time()
    with pytest.raises(UserError) as caught:
        own_folder(mine)
    assert time.process_time() - start < 1
    assert str(caught.value).startswith(f"{mine / 'model' / 'x.yaml'}")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("place", ["x.yaml", "experiment/x.yaml", "hydra/launcher/x.yaml", "model/inner/x.yaml"])
def test_in_every_folder_that_hydra_reads(mine, place):
    (mine / place).parent.mkdir(parents=True, exist_ok=True)
    (mine / place).write_text("- 1")
    with pytest.raises(UserError, match=f"{place} holds a list"):
        own_folder(mine)


def test_what_is_no_file_is_named(mine):
    file = mine / "model" / "x.yaml"
    for make in (os.mkfifo, os.mkdir, lambda path: os.symlink("nowhere", path), lambda path: os.symlink(path, path)):
        make(file)
        with pytest.raises(UserError, match=r"model/x\.yaml is not a file that can be read"):
            own_folder(mine)
        file.rmdir() if file.is_dir() else file.unlink()


def test_a_circle_of_several_files_is_told(mine):
    for name, other in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")):
        (mine / "model" / f"{name}.yaml").write_text(f"defaults: [{other}]\n")
    with pytest.raises(UserError, match=r"a\.yaml: its defaults .* \(model/a > model/b > model/c > model/a\)"):
        own_folder(mine)


def test_configs_may_share_and_repeat(mine):
    (mine / "base").mkdir()
    (mine / "base" / "mine.yaml").write_text("width: 0.5\n")
    (mine / "model" / "empty.yaml").write_text("# nothing\n")
    text = "defaults:\n  - /base/mine@_here_\n  - override /optimizer: sgd\n  - _self_\n"
    (mine / "model" / "x.yaml").write_text(text + "a: &a [1, 2]\nb: *a\nc: {<<: &c {d: 1}, e: *a}\nf: *c\n")
    (mine / "model" / "y.yaml").write_text("defaults: [x, {'': x}, 3, {optional /model: null}]\n")
    (mine / "outputs").mkdir()
    (mine / "outputs" / "x.yaml").write_text("- not a folder of configs\n")
    check_own_files(mine)


@pytest.mark.parametrize("command", [("train", "model=x"), ("list",), ("reproduce", "x")])
@pytest.mark.parametrize("case", ["laughs", "an alias of what it is in", "a list", "not YAML", "UTF-16", "itself"])
def test_every_command_says_so(effdl, tmp_path, command, case):
    (tmp_path / "mine" / "model").mkdir(parents=True)
    write(tmp_path / "mine" / "model" / "x.yaml", WRONG[case][0])
    start = time.process_time()
    code, output, error = effdl(*command, "--config-dir", "mine")
    assert time.process_time() - start < 2
    assert (code, output) == (2, "")
    assert error.startswith("effdl: mine/model/x.yaml")
    assert WRONG[case][1] in error
    assert len(error.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]
