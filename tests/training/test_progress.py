"""Progress: plain lines where nobody watches, a live bar on a terminal."""

import io
import re

import pytest
from rich.console import Console

from effdl.training.callbacks import Batch
from effdl.training.epoch_log import describe
from effdl.training.progress import Progress

ROW = {"epoch": 1, "loss": 1.23456, "top1": 0.5, "images_per_s": 1234.5, "duration_s": 2.34}
VALIDATED = {**ROW, "val_loss": 2.0, "val_top1": 0.25}


@pytest.fixture
def plain():
    return Progress(Console(file=io.StringIO(), width=60))


@pytest.fixture
def live():
    return Progress(Console(file=io.StringIO(), width=120, force_terminal=True))


def lines(progress):
    return progress.console.file.getvalue().splitlines()


def train(progress, epochs, done=0, batches=3):
    progress.stage_begin("dense")
    progress.training_begin(epochs, done)
    rows = []
    for epoch in range(done, epochs):
        for batch in range(1, batches + 1):
            progress.batch_end(Batch(batch, batches, 1.0, 0.5, 100.0))
        rows.append({**VALIDATED, "epoch": epoch + 1})
        progress.epoch_end(rows[-1])
    progress.training_end(rows)
    return rows


def test_an_epoch_in_a_line():
    assert describe(ROW) == "loss 1.2346 top-1 0.5000 | 1,234 img/s 2.3 s"
    assert describe(VALIDATED) == "loss 1.2346 top-1 0.5000 | val loss 2.0000 top-1 0.2500 | 1,234 img/s 2.3 s"


def test_plain_one_line_per_epoch(plain):
    train(plain, 3)
    assert lines(plain) == [f"dense: epoch {epoch}/3 {describe(VALIDATED)}" for epoch in (1, 2, 3)]
    assert "\x1b" not in plain.console.file.getvalue()


def test_a_resumed_training_says_so(plain):
    train(plain, 3, done=2)
    assert lines(plain)[0] == "dense: continuing after epoch 2 of 3"
    assert len(lines(plain)) == 2


def test_a_finished_training_shows_no_bar(live):
    train(live, 3, done=3)
    assert live.bar is None
    assert len(lines(live)) == 1  # that it continues


def test_live_the_bar_comes_and_goes(live):
    live.stage_begin("dense")
    live.training_begin(2, 0)
    assert live.bar is not None
    assert live.bar.live.is_started
    bar = live.bar
    live.batch_end(Batch(1, 4, 1.5, 0.25, 2000.0))
    task = bar.tasks[0]
    assert (task.completed, task.total) == (0.25, 2)
    assert task.fields["text"] == "epoch 1/2 batch 1/4 loss 1.500 top-1 0.250 2,000 img/s"
    assert task.description == "dense"
    live.epoch_end({**VALIDATED, "epoch": 1})
    live.batch_end(Batch(4, 4, 1.5, 0.25, 2000.0))
    assert task.completed == 2
    assert "val top-1 0.250" in task.fields["text"]
    live.epoch_end({**VALIDATED, "epoch": 2})
    live.training_end([VALIDATED, VALIDATED])
    assert live.bar is None
    assert not bar.live.is_started
    shown = live.console.file.getvalue()
    assert all(f"dense: epoch {epoch}/2 {describe(VALIDATED)}\n" in shown for epoch in (1, 2))  # they stay


def test_two_trainings_after_one_another(live):
    train(live, 2)
    train(live, 1)
    assert live.bar is None


def test_stopping_is_always_possible(plain, live):
    for progress in (plain, live):
        progress.training_end([])
        progress.training_begin(3, 0)
        progress.training_end([])
        progress.training_end([])
        assert progress.bar is None


def test_epochs_of_an_earlier_process_are_not_shown_again(plain):
    plain.stage_begin("dense")
    plain.epoch_end({**VALIDATED, "epoch": 1})
    plain.training_begin(2, 1)
    plain.epoch_end({**VALIDATED, "epoch": 2})
    assert lines(plain) == ["dense: continuing after epoch 1 of 2", f"dense: epoch 2/2 {describe(VALIDATED)}"]


def test_no_epochs_at_all(plain, live):
    for progress in (plain, live):
        train(progress, 0)
        assert lines(progress) == []


@pytest.mark.parametrize("message", ["folder [bold]x[/y]", "augment=[flip_crop,cutout]", "x" * 300])
def test_a_note_is_shown_as_it_is(plain, message):
    plain.message(message)
    assert lines(plain) == [message]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("epochs", [9, 200])
def test_the_bar_fits_and_shows_its_times(width, epochs):
    progress = Progress(Console(file=io.StringIO(), width=width, force_terminal=True))
    progress.run_begin(["dense", "prune", "quantize"])
    progress.stage_begin("prune")
    progress.training_begin(epochs, 0)
    progress.epoch_end({**VALIDATED, "epoch": 1})
    progress.batch_end(Batch(117, 391, 1.234, 0.567, 12345.6))
    shown = Console(file=io.StringIO(), width=width)
    shown.print(progress.bar.get_renderable())
    progress.training_end([])
    [line] = shown.file.getvalue().splitlines()
    assert len(line.rstrip()) < width
    assert line.startswith("prune (stage 2 of 3) ")
    assert f"epoch 2/{epochs}" in line
    assert re.search(r"\d:\d\d:\d\d left [\d-]:[\d-]{2}:[\d-]{2}", line)
    assert ("val top-1 0.250" in line) == (width >= 80)
    assert "…" not in line


def test_a_line_about_an_epoch_loses_no_accuracy_on_a_narrow_terminal():
    progress = Progress(Console(file=io.StringIO(), width=80, force_terminal=True))
    train(progress, 2)
    shown = progress.console.file.getvalue()
    assert "dense: epoch 2/2 loss 1.2346 top-1 0.5000 | val loss 2.0000 top-1 0.2500\n" in shown


def test_measuring_is_said_while_it_lasts_on_a_terminal_only(plain, live):
    for progress in (plain, live):
        progress.run_begin(["dense", "prune"])
        progress.stage_begin("prune")
        progress.measuring_begin("prune")
        progress.message("a warning")
        assert (progress.status is not None) == progress.console.is_terminal
        progress.stage_end({})
        assert progress.status is None
    assert lines(plain) == ["a warning"]
    shown = live.console.file.getvalue()
    assert "prune (stage 2 of 2): measuring" in shown
    assert shown.endswith("\x1b[2K") or "\x1b[2K" in shown.rpartition("measuring")[2]  # the line is taken away again


def test_measuring_that_broke_off_is_taken_away(live):
    live.measuring_begin("dense")
    live.run_end("failed")
    assert live.status is None
