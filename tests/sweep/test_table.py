"""What is shown while a sweep goes on and when it is over."""

import io
import json
import re

import pytest
from rich.console import Console

from effdl.sweep.progress import SweepProgress, duration, last_epoch, running_table
from effdl.sweep.table import accuracy, label, reasons, summary, sweep_table
from effdl.utils.rows import Rows

MEASURED = {
    "top1": 0.975,
    "size_bytes": 12345,
    "macs": 50200,
    "total_duration_s": 2.0,
    "total_energy_kwh": 1e-6,
    "total_co2eq_g": 0.1,
}


def job(number, status=None, **more):
    end = {} if status is None else {"event": "end", "status": status, "reason": None, "row": None}
    overrides = ["model=mlp", f"prune=0.{number}"]
    return {"job": number, "overrides": overrides, "folder": f"sweep/run{number}", "event": "start", **end, **more}


JOBS = [
    job(2, "failed", reason="the loss is nan"),
    job(1, "done", row=MEASURED),
    job(3, "skipped", row=MEASURED),
    job(4),
]


def shown(renderable, width=140) -> str:
    console = Console(width=width, file=io.StringIO(), markup=False)
    console.print(renderable)
    return console.file.getvalue()


def test_the_table_has_a_row_per_job_in_order():
    table = sweep_table(JOBS, ["prune"], "sweep")
    cells = [list(map(str, row)) for row in table.rows]
    assert [row[:3] for row in cells] == [
        ["1", "prune=0.1", "done"],
        ["2", "prune=0.2", "failed"],
        ["3", "prune=0.3", "skipped"],
        ["4", "prune=0.4", "cut off"],
    ]
    assert cells[0][3:] == ["97.50 %", "12.3 KB", "50.2 k", "2.0 s", "1 mWh", "run1"]
    assert cells[1][3:] == ["-", "-", "-", "-", "-", "run2"]
    assert reasons(JOBS) == ["job 2 failed: the loss is nan"]


def test_at_80_columns_names_of_five_keys_take_few_lines():
    """They were shredded over four to seven lines each."""
    keys = ["model", "prune", "optimizer.lr", "compression.magnitude.schedule", "seed"]
    values = ["mlp", "0.9", "0.012345", "cubic", "3"]
    overrides = [f"{key}={value}" for key, value in zip(keys, values, strict=True)]
    jobs = [job(i, "done", row={**MEASURED, "top1": i / 12}, overrides=overrides) for i in range(12)]
    text = shown(sweep_table(jobs, keys, "sweep"), width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) <= 12 * 3 + 6
    assert all(text.count(override) == 12 for override in overrides)
    assert "the same in all: status done" in text


def test_another_accuracy_than_top_1_says_so():
    assert accuracy({"top1": 0.5, "top5": 0.9}) == "50.00 %"
    assert accuracy({"top5": 0.9, "top10": 1.0}) == "top-5 90.00 %"


def test_only_swept_keys_are_in_a_label():
    assert label(JOBS[0], ["prune"]) == "prune=0.2"
    assert label({**JOBS[0], "overrides": ["+a.b=1", "model=mlp"]}, ["a.b"]) == "+a.b=1"
    assert label(JOBS[0], []) == "-"


def test_the_summary_counts_and_adds_what_this_launch_did():
    assert summary(JOBS, 6) == (
        "1 done, 1 skipped, 1 failed, 1 cut off, 2 not begun; "
        "2.0 s, 1 mWh in the runs that are done, without measuring them"
    )
    unknown = job(5, "done", row={**MEASURED, "total_energy_kwh": None})
    assert "energy not measured" in summary([*JOBS, unknown], None)
    assert summary([], None) == "no job began"


def test_what_jobs_share_counts_once(tmp_path):
    """Of 2 s, 1.5 s are a training that all have in common."""
    folders = {number: str(tmp_path / f"run{number}") for number in range(4)}
    copied = {**MEASURED, "copied": {folders[0]: {"total_duration_s": 1.5, "total_energy_kwh": 5e-7}}}
    first = job(0, "done", row=MEASURED, folder=folders[0])
    others = [job(number, "done", row=copied, folder=folders[number]) for number in (1, 2)]
    assert "; 3.0 s, 2 mWh in the runs that are done, of which 2 copied" in summary([first, *others], None)
    failed = job(0, "failed", folder=folders[0])
    assert "; 2.5 s, 1.5 mWh in the runs that are done" in summary([failed, *others], None)
    skipped = job(0, "skipped", row=MEASURED, folder=folders[0])
    assert "; 1.0 s, 1 mWh in the runs that are done" in summary([skipped, *others], None)


def test_each_ended_job_is_told_once(tmp_path):
    file, console = tmp_path / "jobs.jsonl", Console(file=io.StringIO(), width=200, markup=False)
    with SweepProgress(console, file, 3, ["prune"]):
        for row in JOBS[:2]:
            Rows(file).append(row)
    assert console.file.getvalue().splitlines() == [
        "1/3 failed prune=0.2: the loss is nan",
        "2/3 done prune=0.1: 97.50 %, 2.0 s",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_shows_the_running_jobs_the_energy_and_the_time_left(tmp_path, width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system="standard", markup=False)
    keys = ["prune", "optimizer.lr", "compression.magnitude.schedule"]
    progress = SweepProgress(console, tmp_path / "jobs.jsonl", 600, keys)
    overrides = ["prune=0.4", "optimizer.lr=0.012345", "compression.magnitude.schedule=cubic"]
    running = job(4, folder=str(tmp_path), overrides=overrides)
    (tmp_path / "epochs.jsonl").write_text(
        json.dumps({"stage": "dense", "epoch": 3, "loss": 0.5, "top1": 0.8, "val_top1": 0.75}) + "\n"
    )
    progress.began -= 100
    console.print(progress._picture([*JOBS[:3], running]))
    text = re.sub(r"\x1b\[[\d;]*m", "", console.file.getvalue())
    assert max(map(len, text.splitlines())) <= width
    first, bar, *table = text.splitlines()
    assert first.startswith("3/600 jobs, 1 failed, 1 mWh so far, 8:1")  # two jobs in 100 s, 597 to go
    assert first.endswith(" left")
    assert set(bar.strip()) <= {"━", "╸", "╺"}
    headings = "\n".join(table).split("─")[0].split()
    assert sorted(headings) == sorted(["running", "stage", "epoch", *(["loss"] if width > 60 else []), "val", "top-1"])
    assert all(word in "\n".join(table) for word in (*overrides[:2], "dense", "75.00 %"))
    assert "schedule=cubic" in "".join("".join(table).split())


def test_a_run_without_an_epoch_is_starting(tmp_path):
    assert last_epoch(tmp_path) == {}
    text = shown(running_table([job(4, folder="/nowhere")], ["prune"]))
    assert text.splitlines()[2].split() == ["prune=0.4", "starting", "-", "-", "-"]


def test_durations():
    assert [duration(seconds) for seconds in (5, 65, 3725)] == ["0:00:05", "0:01:05", "1:02:05"]
