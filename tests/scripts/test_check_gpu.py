"""The checks on a GPU, tried without one: what they would run can be composed, and some of it runs on the CPU."""

import argparse
import json
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from check_gpu import Report, check_all, outcome  # noqa: E402
from gpu_checks.matrix import Check, compressions, matrix, pretrainings  # noqa: E402
from gpu_checks.shell import Failed, Shell, Skipped  # noqa: E402
from gpu_checks.table import table  # noqa: E402

from effdl.config.compose import composed, settings  # noqa: E402
from effdl.config.options import config_folder, option_files  # noqa: E402
from effdl.config.validation import active  # noqa: E402


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path / "work", "cpu", timeout=100)


def row(name, verdict="ok", note="", commands=(), seconds=1.0):
    return {"name": name, "verdict": verdict, "note": note, "commands": list(commands), "seconds": seconds}


def test_what_failed_comes_first_with_its_last_command():
    failed = {
        "command": "python -m effdl train device=cuda",
        "code": 1,
        "seconds": 2.5,
        "last": ["a", "RuntimeError: b"],
    }
    rows = [row("fp32", note="top-1 | 0.9"), row("fp16", "failed", "exit 1: x " + "y" * 99, [failed], 2.6)]
    rows.append(row("int8", "not run", seconds=None))
    lines = table(rows).splitlines()
    assert lines[0] == "3 checks: 1 ok, 1 failed, 1 not run"
    assert lines[2] == "| check | s | verdict | note |"
    assert lines[4] == f"| fp16 | 3 | failed | exit 1: x {'y' * 77}... |"
    assert lines[5] == "| fp32 | 1 | ok | top-1 / 0.9 |"
    assert lines[6] == "| int8 |  | not run |  |"
    assert lines[8:] == ["fp16: exit 1", "```", "$ python -m effdl train device=cuda", "a", "RuntimeError: b", "```"]


def test_every_training_of_the_matrix_can_be_composed():
    checks = matrix()
    assert len({check.name for check in checks}) == len(checks)
    for check in checks:
        config = settings(composed(["device=cuda", *check.overrides], None))
        assert config["device"]["name"] == "cuda", check.name


def test_every_method_is_tried():
    tried = set()
    for typed in compressions().values():
        tried |= set(active(settings(composed(list(typed), None)))["compression"])
    assert tried == set(option_files("compression", config_folder()))
    assert set(pretrainings()) == set(option_files("pretraining", config_folder())) - {"none"}


def test_a_check_that_breaks_does_not_stop_the_others(tmp_path, capsys):
    def breaks(shell, overrides):
        shell.effdl("train", "model=none")

    def skips(shell, overrides):
        raise Skipped("no library")

    def faulty(shell, overrides):
        raise ZeroDivisionError

    checks = [Check("breaks", act=breaks), Check("skips", act=skips), Check("faulty", act=faulty)]
    checks.append(Check("last", act=lambda shell, overrides: "fine", alone=True))
    report = Report(tmp_path, [row(check.name, "not run", seconds=None) for check in checks])
    args = argparse.Namespace(seconds=100, jobs=2, timeout=60, device="cpu")
    check_all(checks, args, report, tmp_path / "work")
    rows = {row["name"]: row for row in json.loads((tmp_path / "check_gpu.json").read_text())}
    assert [row["verdict"] for row in rows.values()] == ["failed", "skipped", "failed", "ok"]
    assert rows["breaks"]["commands"][0]["code"] == 2
    assert rows["breaks"]["commands"][0]["command"] == "python -m effdl train model=none"
    assert "model=none" in rows["breaks"]["note"]
    assert rows["faulty"]["note"] == "the check: ZeroDivisionError"
    assert (tmp_path / "check_gpu.md").read_text().startswith("4 checks: 2 failed, 1 skipped, 1 ok")


def test_what_has_no_time_left_is_not_begun(tmp_path):
    checks = [Check("late", act=lambda shell, overrides: "fine")]
    report = Report(tmp_path, [row("late", "not run", seconds=None)])
    check_all(checks, argparse.Namespace(seconds=-1, jobs=1, timeout=1, device="cpu"), report, tmp_path / "work")
    assert report.rows[0]["verdict"] == "not run"


def test_a_command_that_takes_too_long_is_stopped(tmp_path):
    shell, began = Shell(tmp_path, "cpu", timeout=1), time.monotonic()
    with pytest.raises(Failed, match="stopped after"):
        shell.run([sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(60)"])
    assert time.monotonic() - began < 30
    assert shell.commands[0]["code"] == -9
    assert shell.commands[0]["last"] == ["begun"]


@pytest.mark.parametrize("name", ["machine", "fp32"])
def test_checks_run_on_the_cpu(shell, name):
    check = next(check for check in matrix() if check.name == name)
    verdict, note = outcome(check, shell)
    assert verdict == "ok", note
    assert ("torch" if name == "machine" else "top-1") in note
    assert shell.commands[-1]["code"] == 0
