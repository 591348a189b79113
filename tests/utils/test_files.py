"""Files that are whole or not there."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from effdl.utils.errors import RunError, UserError
from effdl.utils.files import check_folder, leaving_no_empty, sha256_of, sweep_temporary, write_atomic, write_json

# --- writing


def test_a_file_that_does_not_fit_leaves_the_old_one_and_nothing_else(tmp_path, limited):
    path = tmp_path / "result.json"
    write_json(path, {"old": 1})
    said = limited("def work(): write_json(path, {'new': 'x' * 10_000})\n", 4096, path)
    assert said == f"cannot write {path}: File too large"
    assert json.loads(path.read_text()) == {"old": 1}
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(RunError, match="none/x: No such file or directory"):
        write_json(tmp_path / "none" / "x", {})


def test_an_interrupted_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "x", b"data")
    assert os.listdir(tmp_path) == []


def test_a_process_killed_while_writing_leaves_a_whole_file(tmp_path):
    path = tmp_path / "run.json"
    write_json(path, {"n": -1})
    code = (
        "import sys; from pathlib import Path; from effdl.utils.files import write_json\n"
        "for n in range(10**9): write_json(Path(sys.argv[1]), {'n': n, 'text': 'x' * 200_000})\n"
    )
    for delay in (0.3, 0.35, 0.4):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)])
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert set(json.loads(path.read_text())) <= {"n", "text"}


def test_others_may_read_what_is_written(tmp_path):
    write_json(tmp_path / "x", {})
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_has_no_number_for_is_refused(tmp_path, value):
    path = tmp_path / "x"
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"loss": value})
    assert not path.exists()


def test_numbers_are_stored_to_the_last_digit(tmp_path):
    values = {"a": 0.1 + 0.2, "b": 1e-300, "c": 2**70, "d": None, "e": True, "f": "é\n\u2028"}
    write_json(tmp_path / "x", values)
    assert json.loads((tmp_path / "x").read_text()) == values


def test_what_a_kill_left_is_swept_away(tmp_path):
    (tmp_path / ".run.json.abc.tmp").write_text("half")
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "run.json").write_text("{}")
    sweep_temporary(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hydra", "run.json"]


def test_the_digest_of_a_file(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# --- folders


@pytest.mark.parametrize("name", ["there", "new", "new/deep/down"])
def test_a_folder_that_can_be_made_is_not_made_yet(tmp_path, name):
    (tmp_path / "there").mkdir()
    check_folder(tmp_path / name, "key=value")
    assert os.listdir(tmp_path) == ["there"]
    assert os.listdir(tmp_path / "there") == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("file", "Not a directory"),
        ("file/x", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("new/" + "x" * 300, "File name too long"),
        ("dangling/x", "No such file or directory"),
    ],
)
def test_a_folder_that_cannot_be_made_is_named(tmp_path, name, reason):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(UserError, match=rf"^key=value: ({reason}) \(allowed: a folder that can be written to\)$"):
        check_folder(tmp_path / name, "key=value")
    assert sorted(os.listdir(tmp_path)) == ["dangling", "file"]


def fail_with(name: str, folder):
    """Fail after this file was made in a new folder."""
    with leaving_no_empty(folder):
        folder.mkdir(parents=True)
        (folder / name).touch()
        raise ValueError("no")


def test_a_folder_that_stays_empty_is_removed_if_the_block_fails(tmp_path):
    with pytest.raises(ValueError, match="no"):
        fail_with(".lock", tmp_path / "new" / "deep")
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_or_is_used_stays_if_the_block_fails(tmp_path):
    (tmp_path / "old").mkdir()
    with pytest.raises(ValueError, match="no"), leaving_no_empty(tmp_path / "old"):
        raise ValueError("no")
    with pytest.raises(ValueError, match="no"):
        fail_with("run.json", tmp_path / "new" / "deep")
    with leaving_no_empty(tmp_path / "fine"):
        (tmp_path / "fine").mkdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fine", "new", "old"]
    assert (tmp_path / "new" / "deep" / "run.json").exists()
