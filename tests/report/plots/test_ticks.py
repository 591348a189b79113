"""Ticks of logarithmic axes."""

import itertools

import pytest

from effdl.report.plots.figure import new_figure
from effdl.report.plots.ticks import log_ticks, plain_ticks

STARTS = (1e-6, 0.0031, 0.9, 2.2, 7.0, 53.0, 6.1e4, 9.9e9)
SPANS = (1.01, 1.3, 2.4, 5.0, 8.0, 13.0, 99.0, 320.0, 700.0, 1e4, 1e9)


@pytest.mark.parametrize(("low", "span"), list(itertools.product(STARTS, SPANS)))
def test_there_are_three_to_seven_wherever_the_axis_begins_and_ends(low, span):
    ticks = log_ticks(low, low * span)
    assert 3 <= len(ticks) <= 7
    assert ticks == sorted(set(ticks))
    assert low <= ticks[0]
    assert ticks[-1] <= low * span


def test_the_roundest_numbers_that_are_enough():
    assert log_ticks(0.8, 120) == [1, 2, 5, 10, 20, 50, 100]
    assert log_ticks(0.8, 1200) == [1, 3, 10, 30, 100, 300, 1000]
    assert log_ticks(0.8, 2e6) == [1, 10, 100, 1000, 10_000, 100_000, 1_000_000]
    assert log_ticks(0.8, 2.4) == [1, 1.5, 2]


def test_the_labels_are_plain_numbers():
    axes = new_figure(4, 3).subplots()
    axes.plot([900, 2100], [1, 2])
    axes.set_xscale("log")
    plain_ticks(axes.xaxis)
    axes.figure.draw_without_rendering()
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1,000", "1,500", "2,000"]
    assert not any(text.get_text() for text in axes.get_xticklabels(minor=True))
