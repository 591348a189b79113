"""Files that are whole or not there."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from effdl.utils.errors import RunError, UserError
from effdl.utils.files import append_row, check_folder, read_rows, sweep_temporary, write_atomic, write_json, write_rows


def limited(code, size, *arguments):
    """Run code in a process of its own whose files cannot grow beyond `size` bytes; returns its last line."""
    head = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom effdl.utils.files import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
        "path = Path(sys.argv[1])\n"
    )
    tail = "try:\n    work()\n    print('no error')\nexcept RunError as error:\n    print(error)\n"
    done = subprocess.run([sys.executable, "-c", head + code + tail, *map(str, arguments)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


# --- writing


def test_a_file_that_does_not_fit_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, {"old": 1})
    said = limited("def work(): write_json(path, {'new': 'x' * 10_000})\n", 4096, path)
    assert said == f"cannot write {path}: File too large"
    assert json.loads(path.read_text()) == {"old": 1}
    assert os.listdir(tmp_path) == ["result.json"]


@pytest.mark.parametrize("size", [100, 101, 150, 4096])
def test_a_row_that_does_not_fit_is_cut_off_again(tmp_path, size):
    path = tmp_path / "epochs.jsonl"
    append_row(path, {"epoch": 1, "text": "y" * 75})
    before = path.read_bytes()
    assert len(before) == 100
    said = limited("def work(): append_row(path, {'text': 'x' * 10_000})\n", size, path)
    assert said.startswith(f"cannot write {path}: ")
    assert path.read_bytes() == before


def test_a_row_that_just_fits_is_written(tmp_path):
    path = tmp_path / "epochs.jsonl"
    row = {"text": "x" * 100}
    length = len(json.dumps(row)) + 1
    assert limited(f"def work(): append_row(path, {row})\n", length, path) == "no error"
    assert limited(f"def work(): append_row(path, {row})\n", 2 * length - 1, path) != "no error"
    assert read_rows(path) == [row]


def test_a_full_device_is_named(tmp_path):
    path = tmp_path / "epochs.jsonl"
    path.symlink_to("/dev/full")
    with pytest.raises(RunError, match=r"cannot write .*epochs\.jsonl: "):
        append_row(path, {"epoch": 1})


def test_a_missing_folder_is_named(tmp_path):
    for write in (write_json, append_row):
        with pytest.raises(RunError, match="none/x: No such file or directory"):
            write(tmp_path / "none" / "x", {})


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
    for write in (write_json, append_row, lambda path, row: write_rows(path, [row])):
        with pytest.raises(ValueError, match="JSON"):
            write(path, {"loss": value})
    assert not path.exists() or path.read_bytes() == b""


def test_numbers_are_stored_to_the_last_digit(tmp_path):
    values = {"a": 0.1 + 0.2, "b": 1e-300, "c": 2**70, "d": None, "e": True, "f": "é\n\u2028"}
    write_json(tmp_path / "x", values)
    append_row(tmp_path / "y", values)
    assert json.loads((tmp_path / "x").read_text()) == values
    assert read_rows(tmp_path / "y") == [values]


# --- rows


def test_a_row_cut_short_by_a_kill_is_left_out(tmp_path):
    path = tmp_path / "rows"
    rows = [{"epoch": 1}, {"epoch": 2, "text": "a\nb\r\u2028"}, {"epoch": 3}]
    write_rows(path, rows)
    whole = path.read_bytes()
    start_of_last = whole.rindex(b"{")
    for length in range(start_of_last, len(whole)):
        path.write_bytes(whole[:length])
        assert read_rows(path) == rows[:2], length
    path.write_bytes(whole)
    assert read_rows(path) == rows
    assert read_rows(tmp_path / "missing") == []


def test_what_a_kill_left_is_swept_away(tmp_path):
    (tmp_path / ".run.json.abc.tmp").write_text("half")
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "run.json").write_text("{}")
    sweep_temporary(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hydra", "run.json"]


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
