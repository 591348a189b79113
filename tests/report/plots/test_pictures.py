"""Pictures of many runs: which there are, and what is in them."""

import itertools
import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from effdl.report.gather import gather
from effdl.report.gather import rows as rows_of
from effdl.report.plots.figure import new_figure
from effdl.report.plots.marks import COLOURS, colours, marks
from effdl.report.plots.names import name_points
from effdl.report.plots.pictures import pictures
from effdl.report.plots.points import labels, points
from effdl.report.plots.pruning import pruning, with_rate
from effdl.report.plots.scatter import legend_of, scatter
from effdl.report.plots.trainings import trainings
from effdl.report.scoring import scored

PANELS = ["accuracy_params", "accuracy_size", "accuracy_macs", "accuracy_latency", "accuracy_energy"]
REAL = ["accuracy_compute", "accuracy_course", "accuracy_micronet"]  # what runs of earlier versions do not have


def run_of(number, *stages, folder="none", **config):
    """Rows as `gather.rows` makes them."""
    shared = {"run": number, "name": f"run {number}", "folder": folder, "status": "done", "seed": config.get("seed")}
    measures = {"params": 1000, "macs": 50_000, "latency_ms": 0.5, "energy_kwh": 1e-6, "evaluate_energy_kwh": 1e-7}
    measures |= {"weight_sparsity": 0.0, "params_nonzero": 1000, "size_bytes": 5000}
    return [
        {**shared, "config": config, **measures, "stage": stage, "method": method, "dense": stage == "dense", **given}
        for stage, method, given in stages
    ]


def sweep(levels=(0.5, 0.8, 0.9), seeds=(0, 1), **config):
    """Pruned runs whose accuracy falls with the level."""
    rows = []
    for number, (level, seed) in enumerate(itertools.product(levels, seeds)):
        left = 1000 * (1 - level)
        pruned = {"params_nonzero": left, "weight_sparsity": level, "size_bytes": 4 * left + 1000}
        stages = (
            ("dense", "train", {"top1": 0.95 + seed / 100}),
            ("prune", "magnitude", {"top1": 0.95 - level / 10, **pruned}),
        )
        rows += run_of(number, *stages, prune=level, seed=seed, **config)
    return rows


def names(paths):
    return sorted(path.name for path in paths)


def shows(path, colour):
    pixels = matplotlib.image.imread(path)
    return (np.abs(255 * pixels[..., :3] - colour) < 1).all(axis=-1).any()


def test_every_quantity_has_its_picture(tmp_path):
    rows = [{**row, "course_score": row["size_bytes"] / 5e6} for row in sweep()]
    written = pictures(rows, tmp_path / "new" / "folder")
    assert names(written) == sorted(f"{name}.png" for name in [*PANELS, "accuracy_course", "overview", "pruning"])
    for path in written:
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert shows(path, (0x00, 0x72, 0xB2))  # the first method's colour
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_quantity_that_nobody_measured_has_no_picture(tmp_path):
    rows = [{**row, "latency_ms": None, "energy_kwh": None, "course_score": None} for row in sweep()]
    written = pictures(rows, tmp_path)
    assert names(written) == [
        "accuracy_macs.png",
        "accuracy_params.png",
        "accuracy_size.png",
        "overview.png",
        "pruning.png",
    ]


def test_nothing_measured_gives_nothing(tmp_path):
    assert pictures([], tmp_path) == []
    failed = {"run": 1, "config": {}, "stage": None, "method": None, "dense": False, "folder": str(tmp_path), "seed": 0}
    assert pictures([failed], tmp_path) == []


def test_dense_runs_have_no_pruning_picture(tmp_path):
    assert names(pictures(run_of(1, ("dense", "train", {"top1": 0.9})), tmp_path)) == sorted(
        f"{name}.png" for name in [*PANELS, "overview"]
    )


def test_each_data_set_has_its_own(tmp_path):
    rows = sweep(**{"dataset.option": "mnist"})
    rows += [{**row, "run": row["run"] + 100} for row in sweep(**{"dataset.option": "digits"})]
    only_size = {"params_nonzero": None, "macs": None, "latency_ms": None, "energy_kwh": None, "params": None}
    found = names(pictures([row | only_size for row in rows], tmp_path))
    assert found == ["accuracy_size-digits.png", "accuracy_size-mnist.png"]


def drawn(rows, key="size_bytes"):
    figure = new_figure(8, 4.8)
    axes = figure.subplots()
    found = points(rows)
    best = scatter(axes, found, marks(rows), key, "top1")
    return figure, axes, found, best


def test_the_front_and_the_axes():
    _, axes, _, best = drawn(sweep())
    assert [point.mean("size_bytes") for point in best] == pytest.approx([1400, 1800, 3000, 5000])
    stairs = next(line for line in axes.lines if line.get_drawstyle() == "steps-post")
    assert stairs.get_xdata() == pytest.approx([1.4, 1.8, 3.0, 5.0])
    assert stairs.get_ydata() == pytest.approx([86.0, 87.0, 90.0, 95.5])
    assert axes.get_xlabel() == "size on disk (KB)"
    assert axes.get_ylabel() == "top-1 accuracy (%)"
    assert axes.get_xscale() == "linear"


def test_the_front_is_of_the_points_that_were_measured_on_the_validation_split():
    rows = run_of(1, ("dense", "train", {"top1": 0.80, "val_top1": 0.90, "size_bytes": 5000}), lr=1)
    rows += run_of(2, ("dense", "train", {"top1": 0.85, "val_top1": 0.70, "size_bytes": 6000}), lr=2)
    rows += run_of(3, ("dense", "train", {"top1": 0.99, "size_bytes": 1000}), lr=3)  # of an earlier version
    _, _, found, best = drawn(rows)
    assert [point.mean("val_top1") for point in best] == [0.90]
    assert legend_of(marks(rows), found, "top1")[-1].get_label() == (
        "Pareto front,\nby validation split\n(1 not measured on it)"
    )
    _, _, found, best = drawn(rows[2:])
    assert len(best) == 1
    assert legend_of(marks(rows), found, "top1")[-1].get_label() == "Pareto front,\nby test split"


def test_several_models_have_colours_and_methods_shapes():
    rows = sweep(seeds=(0,), **{"model.option": "mlp"}) + [
        {**row, "run": row["run"] + 9, "top1": row["top1"] - 0.01}
        for row in sweep(seeds=(0,), **{"model.option": "vgg"})
    ]
    found = points(rows)
    models = colours(point.model for point in found)
    assert models == {"mlp": COLOURS[0], "vgg": COLOURS[1]}
    axes = new_figure(8, 4.8).subplots()
    scatter(axes, found, marks(rows), "size_bytes", "top1", models)
    drawn = {(line.get_markerfacecolor(), line.get_markeredgecolor(), line.get_marker()) for line in axes.lines}
    assert {("white", COLOURS[0], "D"), ("white", COLOURS[1], "D")} < drawn
    assert {(COLOURS[0], "white", "o"), (COLOURS[1], "white", "o")} < drawn
    told = [handle.get_label() for handle in legend_of(marks(rows), found, "top1", models)]
    assert told[:4] == ["mlp", "vgg", "dense", "prune: magnitude"]
    assert colours(["mlp", None]) == {}


def test_error_bars_are_the_spread_over_seeds():
    _, axes, _, _ = drawn(sweep())
    dense = axes.containers[0]
    (bar,) = dense.lines[2][1].get_segments()  # the vertical one
    assert bar[:, 1] == pytest.approx([95.5 - 0.5**0.5, 95.5 + 0.5**0.5])  # of 95 and 96: sqrt(1/2)


def test_wide_ranges_are_logarithmic_with_plain_numbers():
    figure, axes, _, _ = drawn(sweep((0.5, 0.9, 0.99, 0.999)), "params_nonzero")
    assert axes.get_xscale() == "log"
    figure.draw_without_rendering()
    assert {"1", "10", "100", "1,000"} <= {text.get_text() for text in axes.get_xticklabels()}


def test_a_runtime_is_named_where_latencies_are():
    rows = [{**row, "latency_runtime": "ONNX Runtime" if row["run"] else "pytorch-eager"} for row in sweep()]
    assert (
        drawn(rows, "latency_ms")[1].get_xlabel()
        == "latency of one image (ms)\nONNX\N{NO-BREAK SPACE}Runtime, pytorch-eager"
    )
    assert "ONNX" not in drawn(rows, "size_bytes")[1].get_xlabel()


def test_a_collapsed_run_does_not_flatten_the_others():
    levels = [0.5 + i / 50 for i in range(20)]
    rows = sweep(levels, seeds=(0,))
    rows[-1]["top1"] = 0.1
    axes = drawn(rows)[1]
    assert axes.get_ylim()[0] > 80
    assert [text.get_text() for text in axes.texts] == ["1 below the axis, down to 10.0 %"]


@pytest.mark.parametrize("count", [3, 12, 40])
def test_all_points_of_the_front_are_named_and_the_names_cover_nothing(count):
    rows = sweep([i / (count + 1) for i in range(1, count + 1)], seeds=(0,), comment="a long setting")
    figure, axes, found, best = drawn(rows)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    told = dict(zip(map(id, found), labels(found), strict=True))
    at = {id(point): (point.mean("size_bytes") / 1000, 100 * point.mean("top1")) for point in found}
    names = [told[id(point)] for point in best]
    front = np.array([at[id(point)] for point in best])
    lost = name_points(axes, front, names, np.array(list(at.values())), [front])
    assert not lost
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert len(boxes) == len(set(names)) >= 3
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    pixels = axes.transData.transform(list(at.values()))
    assert not any(box.contains(*point) for box in boxes for point in pixels)
    inside = axes.get_window_extent(renderer)
    assert all(inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1) for box in boxes)


def figure_of(monkeypatch, module, function, *arguments):
    """The figure that a picture is made of."""
    monkeypatch.setattr(f"effdl.report.plots.{module}.png", lambda figure: figure)
    return function(*arguments)


def test_pruning_rate_against_accuracy(monkeypatch):
    rows = sweep() + [{**row, "run": row["run"] + 9, "method": "taylor"} for row in sweep((0.5, 0.99), (0,))]
    for row in rows:
        row["method"] = "train" if row["dense"] else row["method"]
    figure = figure_of(monkeypatch, "pruning", pruning, rows, "top1")
    lines = {container.get_label(): container.lines[0] for container in figure.axes[0].containers}
    assert set(lines) == {"magnitude", "taylor"}
    assert lines["magnitude"].get_xdata() == pytest.approx([50, 80, 90])
    assert lines["magnitude"].get_ydata() == pytest.approx([90, 87, 86])
    assert lines["taylor"].get_xdata() == pytest.approx([50, 99])
    dashed = [line.get_ydata()[0] for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert dashed == pytest.approx([95.5, 95.0])


@pytest.mark.parametrize("levels", [(0.5,), (0.97,), (0.5, 0.52), (0.9, 0.999)])
def test_the_rates_have_three_labels_at_least(monkeypatch, levels):
    axes = figure_of(monkeypatch, "pruning", pruning, sweep(levels), "top1").axes[0]
    low, high = axes.get_xlim()
    assert sum(low <= tick <= high for tick in axes.get_xticks()) >= 3


def test_settings_other_than_the_level_make_another_line(monkeypatch):
    rows = sweep(seeds=(0,), **{"compression.magnitude.schedule": "gradual"})
    rows += [{**row, "run": row["run"] + 9} for row in sweep(seeds=(0,), **{"compression.magnitude.schedule": "soft"})]
    figure = figure_of(monkeypatch, "pruning", pruning, rows, "top1")
    names = [container.get_label() for container in figure.axes[0].containers]
    assert names == ["magnitude, schedule=gradual", "magnitude, schedule=soft"]


def test_the_rate_counts_what_is_zero_and_what_is_gone():
    rows = run_of(
        1,
        ("dense", "train", {"params": 1000}),
        ("prune", "filters", {"params": 400}),
        ("prune-2", "magnitude", {"params": 400, "weight_sparsity": 0.5}),
        ("quantize", "int8", {"params": None, "weight_sparsity": None}),
    )
    assert [row["rate"] for row in with_rate(rows)] == [0, pytest.approx(0.6), 0.5, None]


def log(folder, *epochs):
    folder.mkdir()
    (folder / "epochs.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs))
    return str(folder)


def epochs(stage, values, key="val_top1"):
    return [{"stage": stage, "fit": 0, "epoch": i + 1, "top1": 0.0, key: value} for i, value in enumerate(values)]


def test_training_curves_join_the_stages(tmp_path, monkeypatch):
    pruned = log(tmp_path / "a", *epochs("teacher", [0.1]), *epochs("dense", [0.5, 0.7]), *epochs("prune", [0.6]))
    rows = run_of(1, ("dense", "train", {}), ("prune", "magnitude", {}), folder=pruned, prune=0.5)
    rows += run_of(2, ("dense", "train", {}), folder=log(tmp_path / "b", *epochs("dense", [0.4])), prune=None)
    rows += run_of(3, ("dense", "train", {}), folder=log(tmp_path / "c", *epochs("dense", [0.4], "top1")), prune=0.1)
    figure = figure_of(monkeypatch, "trainings", trainings, rows)
    curves = {line.get_label(): line for line in figure.axes[0].lines if not line.get_label().startswith("_")}
    assert list(curves) == ["run 1", "run 2"]  # as in the table
    assert curves["run 1"].get_ydata() == pytest.approx([50, 70, 60])  # the teacher is another model
    assert figure.axes[0].get_ylabel() == "top-1 validation accuracy (%)"
    assert figure.legends[0].get_title().get_text().startswith("1 without")


def test_many_runs_are_named_by_their_last_stage(tmp_path, monkeypatch):
    rows = []
    for i in range(20):
        folder = log(tmp_path / str(i), *epochs("dense", [0.5, 0.6], "top1"))
        rows += run_of(i, ("dense", "train", {}), *([("prune", "nm", {})] if i % 2 else []), folder=folder, width=i)
    figure = figure_of(monkeypatch, "trainings", trainings, rows)
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"dense", "prune: nm"}
    assert figure.axes[0].get_ylabel() == "top-1 training accuracy (%)"


def test_seeds_are_one_line_in_a_band(tmp_path, monkeypatch):
    rows = []
    for seed, values in enumerate([[0.5, 0.7, 0.9], [0.6, 0.9]]):
        folder = log(tmp_path / str(seed), *epochs("dense", values))
        [row] = run_of(seed, ("dense", "train", {}), folder=folder, seed=seed)
        rows.append({**row, "name": f"model=mlp seed={seed}"})
    figure = figure_of(monkeypatch, "trainings", trainings, rows)
    [curve] = [line for line in figure.axes[0].lines if not line.get_label().startswith("_")]
    assert curve.get_label() == "model=mlp"
    assert curve.get_ydata() == pytest.approx([55, 80])  # as far as both trained
    [band] = figure.axes[0].collections
    low, high = (pick(band.get_paths()[0].vertices[:, 1]) for pick in (min, max))
    assert (low, high) == pytest.approx((55 - 10 / 2**0.5 / 1, 80 + 20 / 2**0.5))
    assert "over the seeds" in figure.legends[0].get_title().get_text()


def test_without_epochs_there_are_no_curves(tmp_path):
    assert trainings(run_of(1, ("dense", "train", {}), folder=str(tmp_path / "missing"))) is None


def test_real_runs(effdl, tmp_path):
    for seed in (0, 1):
        arguments = (
            "model=mlp",
            "epochs=2",
            "prune=0.5",
            f"seed={seed}",
            "device.threads=1",
            f"hydra.run.dir=runs/{seed}",
        )
        code, _, error = effdl("train", *arguments)
        assert code == 0, error
    found = gather([Path("runs")])
    written = pictures(scored(rows_of(found.runs), found.runs), Path("pictures"))
    assert names(written) == sorted(f"{name}.png" for name in [*PANELS, *REAL, "overview", "pruning", "training"])
    from effdl.report.plots.points import with_costs_so_far

    rows = with_costs_so_far(rows_of(found.runs))
    for run, row in zip(found.runs, rows[1::2], strict=True):
        assert row["energy_so_far_kwh"] == pytest.approx(run.total["energy_kwh"], rel=1e-12)
    pruned = [row["top1"] for row in rows if row["stage"] == "prune"]
    point = next(point for point in points(rows) if point.kind == "prune: magnitude")
    assert point.mean("top1") == pytest.approx(np.mean(pruned))
    assert point.spread("top1") == pytest.approx(np.std(pruned, ddof=1))
