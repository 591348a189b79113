"""What an optimization found, as a table and a picture."""

import itertools

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

from effdl.sweep.front import front_picture, front_table


def found(objectives, values, best):
    rows = [
        {"trial": n, "state": "COMPLETE" if v else "FAIL", "overrides": [f"prune=0.{n}"], "values": v}
        for n, v in enumerate(dict(zip(objectives, each, strict=True)) if each else None for each in values)
    ]
    return {"objectives": objectives, "best": best, "trials": rows}


TWO = found({"top1": "maximize", "size_bytes": "minimize"}, [(0.9, 90e3), (0.8, 20e3), None, (0.7, 50e3)], [1, 0])


def test_the_table_shows_the_front_in_units_for_people():
    console = Console(width=100, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(front_table(TWO))
    text = capture.get()
    assert "Pareto front of 4 trials (3 complete, 1 fail)" in text
    rows = [line.split() for line in text.splitlines() if "prune=" in line]
    assert rows == [["1", "80", "20", "prune=0.1"], ["0", "90", "90", "prune=0.0"]]
    assert "top-1 accuracy (%)" in text
    assert "size on disk (KB)" in text


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.filterwarnings("error:.*layout")
def test_a_panel_for_every_further_objective(count, tmp_path):
    names = ["top1", "size_bytes", "total_co2eq_g", "latency_ms"][:count]
    values = [(0.9, 90e3, 2.0, 1.0)[:count], (0.8, 20e3, 1.0, 2.0)[:count], None]
    png = front_picture(found(dict.fromkeys(names, "minimize"), values, [0, 1]), "/a/$b/$c")
    (tmp_path / "x.png").write_bytes(png)
    pixels = matplotlib.image.imread(tmp_path / "x.png")
    assert pixels.shape[:2] == (504, round(5.6 * (count - 1) * 120))
    blue = np.isclose(pixels[..., :3], (31 / 255, 119 / 255, 180 / 255), atol=0.02).all(-1)
    thirds = np.array_split(blue, count - 1, axis=1)
    assert all(part.sum() > 50 for part in thirds)  # the front is in each panel


def test_one_trial_only():
    assert front_picture(found({"top1": "maximize", "macs": "minimize"}, [(0.5, 10.0)], [0]), "x")[:4] == b"\x89PNG"


def test_the_trials_on_the_front_are_named_without_overlap(monkeypatch):
    monkeypatch.setattr("effdl.report.plots.figure.png", lambda figure: figure)
    values = [(0.9 + i / 1000, 20e3 + 40 * i) for i in range(12)]  # close together
    figure = front_picture(found({"top1": "maximize", "size_bytes": "minimize"}, values, list(range(12))), "x")
    [axes] = figure.axes
    assert sorted(text.get_text() for text in axes.texts) == sorted(map(str, range(12)))
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_an_accuracy_far_below_the_others_is_off_the_axis_unless_it_is_on_the_front(monkeypatch):
    monkeypatch.setattr("effdl.report.plots.figure.png", lambda figure: figure)
    values = [(0.95 + i / 1000, 20e3 + 2e3 * i) for i in range(12)]
    objectives = {"val_top1": "maximize", "size_bytes": "minimize"}
    [axes] = front_picture(found(objectives, [*values, (0.1, 60e3)], list(range(12))), "x").axes
    assert axes.get_ylim()[0] > 90
    assert "1 below the axis, down to 10.0 %" in [text.get_text() for text in axes.texts]
    [axes] = front_picture(found(objectives, [*values, (0.1, 10e3)], [*range(13)]), "x").axes
    assert axes.get_ylim()[0] < 10


def test_bounds_are_lines_and_costs_that_span_much_are_logarithmic(monkeypatch):
    monkeypatch.setattr("effdl.report.plots.figure.png", lambda figure: figure)
    objectives = {"val_top1": "maximize", "size_bytes": "minimize"}
    given = {**found(objectives, [(0.9, 900e3), (0.8, 9e3)], [0, 1]), "bounds": {"val_top1": 0.85, "macs": 1.0}}
    [axes] = front_picture(given, "x").axes
    assert axes.get_xscale() == "log"
    assert [line.get_ydata() for line in axes.lines if line.get_linestyle() == "--"] == [[85.0, 85.0]]
