"""Rows in files: whole or not there, and what their seals notice."""

import json
from contextlib import suppress

import pytest

from effdl.utils.errors import RunError, UserError
from effdl.utils.rows import Rows, holds, seal, sealed, without_seal

KEY = "the fingerprint of a run"
ROWS = [
    {"stage": "dense", "top1": 0.1 + 0.2},
    {"stage": "prune", "top1": None, "text": "é"},
    {"stage": "x", "n": 2**70},
]


# --- writing


@pytest.mark.parametrize("size", [100, 101, 150, 4096])
def test_a_row_that_does_not_fit_is_cut_off_again(tmp_path, size, limited):
    path = tmp_path / "epochs.jsonl"
    Rows(path).append({"epoch": 1, "text": "y" * 75})
    before = path.read_bytes()
    assert len(before) == 100
    said = limited("def work(): Rows(path).append({'text': 'x' * 10_000})\n", size, path)
    assert said.startswith(f"cannot write {path}: ")
    assert path.read_bytes() == before


def test_a_row_that_just_fits_is_written(tmp_path, limited):
    path = tmp_path / "epochs.jsonl"
    row = {"text": "x" * 100}
    length = len(json.dumps(row)) + 1
    assert limited(f"def work(): Rows(path).append({row})\n", length, path) == "no error"
    assert limited(f"def work(): Rows(path).append({row})\n", 2 * length - 1, path) != "no error"
    assert Rows(path).read() == [row]


def test_a_full_device_is_named(tmp_path):
    path = tmp_path / "epochs.jsonl"
    path.symlink_to("/dev/full")
    with pytest.raises(RunError, match=r"cannot write .*epochs\.jsonl: "):
        Rows(path).append({"epoch": 1})


def test_a_row_cut_short_by_a_kill_is_left_out(tmp_path):
    path = tmp_path / "rows"
    rows = [{"epoch": 1}, {"epoch": 2, "text": "a\nb\r\u2028"}, {"epoch": 3}]
    Rows(path, KEY).write(rows)
    whole = path.read_bytes()
    start_of_last = whole.rindex(b"{")
    for length in range(start_of_last, len(whole)):
        path.write_bytes(whole[:length])
        assert Rows(path, KEY).read() == rows[:2], length
    path.write_bytes(whole)
    assert Rows(path, KEY).read() == rows
    assert Rows(tmp_path / "missing").read() == []


@pytest.fixture
def file(tmp_path):
    """A file of rows, half of them written at once, the last one appended."""
    rows = Rows(tmp_path / "rows.jsonl", KEY)
    rows.write(ROWS[:2])
    rows.append(ROWS[2])
    return rows


def lines(rows):
    return rows.path.read_bytes().splitlines(keepends=True)


def refused(rows, *kept):
    rows.path.write_bytes(b"".join(kept))
    with pytest.raises(UserError, match=r"rows\.jsonl") as found:
        rows.read()
    return str(found.value)


def test_rows_come_back_without_their_seals(file):
    assert file.read() == ROWS
    assert all(len(json.loads(line)["seal"]) == 16 for line in lines(file))
    whole = lines(file)
    file.write(ROWS)
    assert lines(file) == whole  # appended or written: the same


def test_without_a_key_there_are_no_seals(tmp_path):
    rows = Rows(tmp_path / "rows.jsonl")
    rows.append(ROWS[0])
    assert json.loads(rows.path.read_text()) == ROWS[0]
    assert rows.read() == ROWS[:1]


def test_a_changed_digit_a_lost_row_and_another_order_are_noticed(file):
    one, two, three = lines(file)
    assert "row 1 was changed" in refused(file, one.replace(b"0.3", b"0.4"), two, three)
    assert "row 1 was changed, a row before it is missing" in refused(file, two, three)
    assert "row 2 was changed, a row before it is missing" in refused(file, one, three)
    assert "row 2" in refused(file, one, one, two, three)
    assert "row 1" in refused(file, two, one, three)
    assert "row 2 is not an object" in refused(file, one, b"3\n", three)
    assert "row 2: " in refused(file, one, two[:20] + b"\n", three)
    assert "row 1: " in refused(file, b"[" * 100_000 + b"\n")
    assert "row 1" in refused(file, (json.dumps(ROWS[0]) + "\n").encode())


def test_rows_of_another_run_are_noticed(file):
    with pytest.raises(UserError, match="it is of another run"):
        Rows(file.path, "another").read()


def test_every_flipped_bit_is_noticed(file):
    whole = file.path.read_bytes()
    for position in range(len(whole) - 1):  # the last newline is that of a row cut short
        file.path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with suppress(UserError):
            assert file.read() == ROWS  # a space that became another one, say


def test_the_seal_is_that_of_the_content(tmp_path):
    value = {"b": 1, "a": [1.5, None]}
    assert seal(value, "k") == seal({"a": [1.5, None], "b": 1}, "k")
    assert seal(value, "k") != seal(value, "l")
    assert holds(sealed(value, "k"), "k")
    assert sealed(sealed(value, "k"), "k") == sealed(value, "k")
    assert without_seal(sealed(value, "k")) == value
    assert not holds(value, "k")
    assert not holds({**sealed(value, "k"), "b": 2}, "k")
    assert not holds({"a": float("nan"), "seal": ""}, "k")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_has_no_number_for_is_refused(tmp_path, value):
    rows = Rows(tmp_path / "x", KEY)
    for write in (rows.append, lambda row: rows.write([row])):
        with pytest.raises(ValueError, match="JSON"):
            write({"loss": value})
    assert not rows.path.exists()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(RunError, match="none/x: No such file or directory"):
        Rows(tmp_path / "none" / "x", KEY).append({})


def test_a_folder_in_its_place_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*: it is no regular file"):
        Rows(tmp_path, KEY).read()
