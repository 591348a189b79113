"""Where names stand."""

import numpy as np
import pytest

from effdl.report.plots.figure import new_figure
from effdl.report.plots.names import name_points, place

INSIDE = np.array([0.0, 0.0, 400.0, 300.0])
NO_DOTS = np.empty((0, 2))


def mark(x, y):
    return np.array([[x - 10, y - 10, x + 10, y + 10]])


def test_a_name_stands_above_its_point():
    corner = place(np.array([200.0, 150.0]), np.array([80.0, 12.0]), mark(200, 150), NO_DOTS, INSIDE)
    assert corner.tolist() == [160, 164]


def test_a_line_is_avoided():
    dots = np.stack([np.linspace(0, 400, 200), np.full(200, 170.0)], -1)
    corner = place(np.array([200.0, 150.0]), np.array([80.0, 12.0]), mark(200, 150), dots, INSIDE)
    assert corner.tolist() == [160, 150 - 14 - 12]


def test_at_the_edge_a_name_stays_inside():
    x, y = place(np.array([5.0, 295.0]), np.array([80.0, 12.0]), mark(5, 295), NO_DOTS, INSIDE)
    assert 5 <= x <= 320
    assert y + 12 <= 295


def test_a_crowd_sends_a_name_away_and_a_full_panel_loses_it():
    around = np.concatenate([mark(x, y) for x in range(100, 301, 20) for y in range(50, 251, 20)])
    size = np.array([80.0, 12.0])
    x, y = place(np.array([200.0, 150.0]), size, around, NO_DOTS, INSIDE)
    assert x + 80 <= 90 or x >= 310 or y + 12 <= 40 or y >= 260
    assert place(np.array([200.0, 150.0]), size, INSIDE[None], NO_DOTS, INSIDE) is None


@pytest.mark.parametrize(("room", "lines"), [(0.05, 1), (1, 0)])
def test_a_name_that_is_far_away_has_a_line_to_its_point(room, lines):
    axes = new_figure(6, 4, layout=None).subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    crowd = np.stack(np.meshgrid(np.linspace(0.3, 0.7, 20), np.linspace(0.3, 0.7, 20)), -1).reshape(-1, 2)
    taken = crowd if room < 1 else np.array([[0.5, 0.5]])
    assert name_points(axes, np.array([[0.5, 0.5]]), ["model=mlp prune=0.5"], taken) == []
    assert len(axes.lines) == lines
    assert [text.get_text() for text in axes.texts] == ["model=mlp prune=0.5"]


def test_names_without_room_are_returned_and_equal_ones_written_once():
    axes = new_figure(1, 1, layout=None).subplots()
    at = np.array([[0.5, 0.5], [0.6, 0.5], [0.7, 0.5]])
    long = "a name that is much too long" * 3
    assert name_points(axes, at, ["a", "a", long], at) == [long]
    assert [text.get_text() for text in axes.texts] == ["a"]
