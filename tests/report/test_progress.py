"""Progress: plain lines where nobody watches, a live bar on a terminal."""

import io

import pytest
from rich.console import Console

from effdl.report.progress import Progress, describe

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
    progress.stage("dense")
    progress.start(epochs, done)
    rows = []
    for epoch in range(done, epochs):
        for batch in range(1, batches + 1):
            progress.due()
            progress.batch(batch, batches, 1.0, 0.5, 100.0)
        rows.append({**VALIDATED, "epoch": epoch + 1})
        progress.epoch(rows[-1])
    progress.stop(rows)
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
    assert len(lines(live)) == 1


def test_live_the_bar_comes_and_goes(live):
    live.stage("dense")
    live.start(2, 0)
    assert live.bar is not None
    assert live.bar.live.is_started
    bar = live.bar
    live.batch(1, 4, 1.5, 0.25, 2000.0)
    task = bar.tasks[0]
    assert (task.completed, task.total) == (0.25, 2)
    assert task.fields["text"] == "epoch 1/2 batch 1/4 loss 1.500 top-1 0.250 2,000 img/s"
    live.epoch({**VALIDATED, "epoch": 1})
    live.batch(4, 4, 1.5, 0.25, 2000.0)
    assert task.completed == 2
    live.epoch({**VALIDATED, "epoch": 2})
    live.stop([VALIDATED, VALIDATED])
    assert live.bar is None
    assert not bar.live.is_started
    assert lines(live)[-1].endswith(f"dense: 2 epochs, the last with {describe(VALIDATED)}")


def test_two_trainings_after_one_another(live):
    train(live, 2)
    train(live, 1)
    assert live.bar is None


def test_stopping_is_always_possible(plain, live):
    for progress in (plain, live):
        progress.stop([])
        progress.start(3, 0)
        progress.stop([])
        progress.stop([])
        assert progress.bar is None


def test_a_batch_is_due_now_and_then(plain):
    plain.start(1, 0)
    assert plain.due()
    plain.batch(1, 10, 1.0, 0.5, 1.0)
    assert not plain.due()


def test_no_epochs_at_all(plain, live):
    for progress in (plain, live):
        train(progress, 0)
        assert lines(progress) == []


@pytest.mark.parametrize("message", ["folder [bold]x[/y]", "augment=[flip_crop,cutout]", "x" * 300])
def test_a_note_is_shown_as_it_is(plain, message):
    plain.note(message)
    assert lines(plain) == [message]
