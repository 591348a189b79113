"""The attack counts right, outcome by outcome; its short form is the long one with a few cases of each kind."""

import mmap
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
sys.path.insert(0, str(SCRIPTS))

from attacks import damaged_runs, forge, forged, hostile_weights, lanes, operations, races, wrong_uses  # noqa: E402
from attacks.outcome import KINDS, Case, Verdict, broken, failures, rows_of  # noqa: E402
from attacks.sandbox import Observed, observe, workplace  # noqa: E402
from attacks.uses import Key  # noqa: E402


def seen(code=0, output="", error="", notes=(), **more):
    """An observed process."""
    values = {"signal": None, "timed_out": False, "seconds": 1.0, "peak_bytes": 0, **more}
    return Observed(code=code, output=output, error=error, notes=list(notes), **values)


@pytest.fixture
def place():
    with workplace() as folder:
        yield folder


def raising(note):
    raise KeyError("stages")


def sleeping(note):
    time.sleep(60)


def crashing(note):
    os.kill(os.getpid(), signal.SIGSEGV)


def hungry(note):
    block = mmap.mmap(-1, 300 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # not of what the process has kept free
    for page in range(0, len(block), mmap.PAGESIZE):
        block[page] = 1
    note(len(block))
    return 0


def polite(note):
    print("done")
    print("effdl: epochs=-1: allowed is a whole number >= 0", file=sys.stderr)
    return 2


@pytest.mark.parametrize(
    ("toy", "kind"),
    [(raising, "traceback"), (sleeping, "hang"), (crashing, "crash"), (hungry, "memory"), (polite, None)],
)
def test_what_a_process_does_is_seen(toy, kind, place):
    ended = observe(toy, place, limit_s=1.0 if toy is sleeping else 120)
    verdict = broken(ended, room_bytes=200 << 20)
    assert (verdict.kind if verdict else None) == kind
    if toy is raising:
        assert verdict.why == "KeyError: 'stages'"
    if toy is hungry:
        assert 280 << 20 < ended.peak_bytes < 340 << 20
        assert ended.notes == [300 << 20]
    if toy is polite:
        assert (ended.code, ended.output) == (2, "done\n")
        assert ended.error == "effdl: epochs=-1: allowed is a whole number >= 0\n"


def test_a_process_that_is_too_slow_ends_with_its_children(place):
    def parent(note):
        note(subprocess.Popen(["sleep", "60"]).pid)
        time.sleep(60)

    [child] = observe(parent, place, limit_s=1.0).notes
    time.sleep(0.1)
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] in "ZX"


def test_a_broken_command_is_counted(place):
    toys = {"raises": raising, "exits": polite}

    def attempt(toy):
        return lambda folder: broken(observe(toy, folder)) or Verdict("clean", "")

    cases = [Case("toys", name, attempt(toy)) for name, toy in toys.items() for _ in range(3)]
    found = list(lanes.play(cases, 2))
    assert rows_of(found) == [["toys", "6", "3", "3", *["0"] * 6], ["all", "6", "3", "3", *["0"] * 6]]
    assert KINDS[:2] == ("clean", "traceback")
    assert {case.command for case, _ in failures(found)} == {"raises"}


def test_an_attack_that_breaks_off_is_no_success():
    def attempt(folder):
        raise ValueError("a mistake of the attack")

    with pytest.raises(RuntimeError, match="broke off: toy"):
        list(lanes.play([Case("toys", "toy", attempt)], 1))


EPOCHS = Key("epochs", ("train", "model=mlp", "epochs=VALUE"))
NAMES = ("epochs",)
CONFIG = {"epochs": 1, "seed": 0}


@pytest.mark.parametrize(
    ("value", "ended", "new", "kind"),
    [
        ("-1", seen(2, error="effdl: epochs=-1: allowed is a whole number >= 0\n"), [], "clean"),
        ("-1", seen(2, error="effdl: epochs=-1: allowed is a whole number >= 0\n"), ["work/outputs"], "left"),
        ("-1", seen(2, error="effdl: Interpolation key 'nope' not found\n"), [], "unnamed"),
        ("-1", seen(2, error="effdl: myepochs=-1\n"), [], "unnamed"),
        ("-1", seen(2), [], "unnamed"),
        ("-1", seen(1, output="effdl: the loss is nan: epochs\n"), ["work/r/run.json", "work/r/a", "work/r"], "clean"),
        ("-1", seen(1, output="effdl: the loss is nan: epochs\n"), ["work/r/a"], "left"),
        ("-1", seen(1, error="Traceback (most recent call last):\n  epochs\n"), [], "traceback"),
        ("-1", seen(3, error="effdl: epochs\n"), [], "crash"),
        ("2", seen(0, notes=[["accepted", {"epochs": 2, "seed": 0}]]), [], "clean"),
        ("1", seen(0, notes=[["accepted", CONFIG]]), [], "clean"),
        ("2", seen(0, notes=[["accepted", CONFIG]]), [], "silent"),
        ("nan", seen(0, notes=[["accepted", {"epochs": float("nan"), "seed": 0}]]), [], "silent"),
        (str(10**30), seen(0, notes=[["accepted", {"epochs": 10**30, "seed": 0}]]), [], "silent"),
        ("''", seen(0, notes=[["accepted", {"epochs": "", "seed": 0}]]), [], "silent"),
        ("2", seen(0), [], "silent"),
    ],
)
def test_wrong_uses_are_judged(value, ended, new, kind):
    arguments = ("train", "model=mlp", f"epochs={value}")
    assert wrong_uses.judge(EPOCHS, arguments, NAMES, ended, new, CONFIG).kind == kind


def test_a_use_that_must_be_refused_is_not_accepted():
    assert wrong_uses.judge(EPOCHS, EPOCHS.arguments, NAMES, seen(0), [], must=True).kind == "silent"


TABLE = damaged_runs.Outcome(0, ("top1 = 0.5", "the same"), {"card.md": b"1"})


@pytest.mark.parametrize(
    ("ended", "written", "kind"),
    [
        (seen(0, "top1 = 0.5\nthe same\n"), {"card.md": b"1"}, "clean"),
        (seen(0, "top1 = 0.5\nthe same\n"), {"card.md": b"2"}, "silent"),
        (seen(0, "top1 = 0.7\nthe same\n"), {"card.md": b"1"}, "silent"),
        (seen(0, "top1 = 0.7\nthe same\n", "effdl: skipped run: result.json is damaged\n"), {}, "clean"),
        (seen(2, error="effdl: run/result.json is damaged\n"), {}, "clean"),
        (seen(2, error="effdl: something\n"), {}, "unnamed"),
        (seen(1, "top1 = 0.7\ntop1 was 0.5 when the run measured it\n"), {}, "clean"),
        (seen(1, error="Traceback (most recent call last):\nKeyError: result.json\n"), {}, "traceback"),
    ],
)
def test_damages_are_judged(ended, written, kind):
    outcome = damaged_runs.Outcome(ended.code, tuple(ended.text.splitlines()), written)
    assert damaged_runs.judge("result.json", ended, outcome, TABLE).kind == kind


@pytest.mark.parametrize(
    ("ended", "wrong", "kind"),
    [
        (seen(0), [], "clean"),
        (seen(0, "warning: checkpoint.0.pt is damaged; going back\n"), [], "clean"),
        (seen(0), ["model.safetensors is not that of an undisturbed run"], "silent"),
        (seen(2, error="effdl: run/checkpoint.0.pt is damaged\n"), [], "clean"),
        (seen(2, error="effdl: no\n"), [], "unnamed"),
    ],
)
def test_resumed_damages_are_judged(ended, wrong, kind):
    assert damaged_runs.judge_resumed("checkpoint.0.pt", ended, wrong).kind == kind


def test_forgeries_are_judged():
    made = forged.Made(forge.honest())
    refusal = "effdl: x.safetensors is damaged\n"
    assert forged.judge(seen(2, error=refusal), made, "x.safetensors", 100).kind == "clean"
    assert forged.judge(seen(2, error=refusal, peak_bytes=101), made, "x.safetensors", 100).kind == "memory"
    assert forged.judge(seen(2, error="effdl: damaged\n"), made, "x.safetensors", 100).kind == "unnamed"
    assert forged.judge(seen(0), made, "x.safetensors", 100).kind == "clean"
    made.must_be_refused = True
    assert forged.judge(seen(0), made, "x.safetensors", 100).kind == "silent"


REFUSED = "effdl: model.weights: hostile.pth names code\n"
TAKEN = "model.weights=hostile.pth: 4 of 4 tensors loaded\n"


@pytest.mark.parametrize(
    ("ended", "new", "accepted", "kind"),
    [
        (seen(2, error=REFUSED), [], False, "clean"),
        (seen(2, error=REFUSED), ["code was run"], False, "silent"),
        (seen(2, error=REFUSED), ["run"], False, "left"),
        (seen(2, error=REFUSED, peak_bytes=1 << 30), [], False, "memory"),
        (seen(2, error="effdl: damaged\n"), [], False, "unnamed"),
        (seen(2, error=REFUSED + "more\n"), [], False, "unnamed"),
        (seen(0, TAKEN), ["run"], False, "silent"),
        (seen(0, TAKEN), ["run"], True, "clean"),
        (seen(0, TAKEN + "\x1b[2J\n"), ["run"], True, "unnamed"),
        (seen(0, TAKEN + "effdl: all is well\n"), ["run"], True, "unnamed"),
        (seen(0, TAKEN + "n" * 10_000), ["run"], True, "unnamed"),
        (seen(2, error=REFUSED), [], True, "silent"),
    ],
)
def test_hostile_weights_are_judged(ended, new, accepted, kind):
    assert hostile_weights.judge(ended, new, accepted).kind == kind


def test_an_honest_file_is_one(place):
    from effdl.models.stored import load_model

    forge.honest().write(place / "honest.safetensors")
    shapes = [tuple(parameter.shape) for parameter in load_model(place / "honest.safetensors").parameters()]
    assert shapes == [(8, 64), (8,), (10, 8), (10,)]
    assert forge.bomb("lzma", 1 << 20)
    assert len(forge.bomb("deflate", 64 << 20)) < 70_000


def test_a_race_has_one_winner():
    ended = ["ended", "done"]
    both = [seen(0, notes=[ended]), seen(0, notes=[ended])]
    assert races.judge_runs(ROOT, ROOT, both).kind == "silent"
    both = [seen(0, notes=[ended]), seen(0)]
    assert races.judge_runs(ROOT, ROOT, both).kind == "silent"  # a success of nothing
    both = [seen(0, notes=[ended]), seen(2, error="effdl: run is taken\neffdl: run is taken\n")]
    assert races.judge_runs(ROOT, ROOT, both).kind == "unnamed"


def test_every_file_operation_is_told_of(place):
    def act(note):
        operations.watch(place / "run", note)
        from effdl.utils.files import write_json
        from effdl.utils.rows import Rows

        (place / "run").mkdir()
        write_json(place / "run" / "a.json", {"a": 1})
        Rows(place / "run" / "b.jsonl").append({"b": 1})
        (place / "elsewhere").write_text("not told of")
        (place / "run" / "b.jsonl").unlink()
        return 0

    ended = observe(act, place)
    assert ended.code == 0, ended.error
    told = [operation for operation in ended.notes if not operation.startswith("open .")]
    assert [word for word in told if "a.json" in word or "write" in word or "b.jsonl" in word][-5:] == [
        *("open b.jsonl", "write b.jsonl", "write b.jsonl, half done", "fsync b.jsonl", "remove b.jsonl"),
    ]
    assert ended.notes[0] == "mkdir ."
    assert "rename .a.json.tmp" in ended.notes
    assert "write .a.json.tmp, half done" in ended.notes
    assert "elsewhere" not in " ".join(ended.notes)


def attack(*arguments):
    """The script in a process of its own: its exit code, and its table as rows of cells."""
    done = subprocess.run(
        [sys.executable, SCRIPTS / "attack.py", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    rows = [re.split(r"\s*│\s*", line.strip("│ ")) for line in done.stdout.splitlines() if line.startswith("│")]
    return done, [row for row in rows if row[0]]


def test_the_short_form(tmp_path):
    done, rows = attack("--short", "--output", tmp_path / "a.md", "--list-failures", tmp_path / "failures")
    assert done.returncode in (0, 1), done.stderr
    assert done.returncode == 0, (tmp_path / "failures").read_text()
    assert len(rows) > 15
    assert all(int(row[1].replace(",", "")) > 0 for row in rows)
    assert (tmp_path / "a.md").read_text().count("\n| ") == len(rows) + 2


@pytest.mark.slow
def test_the_long_form(tmp_path):
    done, rows = attack("--list-failures", tmp_path / "failures")
    assert done.returncode in (0, 1), done.stderr
    assert rows, done.stderr
    assert done.returncode == 0, (tmp_path / "failures").read_text()
