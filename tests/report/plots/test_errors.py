"""The curves of error against capacity and against labels."""

from effdl.report.plots.errors import error_curves


def row(number, seed=0, stage="dense", **given):
    config = given.pop("config", {})
    shared = {
        "run": number,
        "folder": "none",
        "seed": seed,
        "stage": stage,
        "method": "train",
        "dense": stage == "dense",
    }
    measures = {"params": 1000, "train_labels": 100, "train_top1": 0.9, "val_error1": 0.2}
    return {**shared, **measures, **given, "config": {"seed": seed, **config}}


def drawn(*rows):
    return sorted(error_curves(list(rows)))


def test_each_picture_is_drawn_where_runs_that_are_otherwise_alike_differ_in_it():
    small, large = row(1), row(2, params=5000, config={"model.hidden": [9]})
    assert drawn(small, row(2, seed=1)) == []
    assert drawn(small, large) == ["error_capacity"]
    assert drawn(small, row(2, train_labels=50, config={"dataset.labelled": 50})) == ["error_labels"]
    assert drawn(small, large, row(3, train_labels=50, config={"dataset.subset": 0.5})) == [
        *("error_capacity", "error_labels")
    ]
    assert all(picture.startswith(b"\x89PNG") for picture in error_curves([small, large]).values())


def test_models_of_other_families_or_settings_are_no_line():
    assert drawn(row(1, config={"model.option": "mlp"}), row(2, params=5000, config={"model.option": "vit"})) == []
    other = row(2, params=5000, config={"model.width": 2, "optimizer.lr": 0.5})
    assert drawn(row(1, config={"model.width": 1, "optimizer.lr": 0.1}), other) == []


def test_a_line_of_labels_may_have_a_training_of_its_own_at_each_number():
    few = [row(i, train_labels=50, config={"dataset.labelled": 50, "epochs": i}) for i in (60, 70)]
    many = row(3, config={"dataset.labelled": 100, "epochs": 30})
    assert drawn(few[0], many) == ["error_labels"]
    assert drawn(*few, many) == []  # which of the two would be on the line?
    assert drawn(*few, many, {**many, "config": {**many["config"], "epochs": 60}, "run": 4}) == ["error_labels"]


def test_a_swept_number_is_the_axis_also_where_the_parameters_are_equal():
    rows = [row(i, config={"model.width": width}) for i, width in enumerate((0.5, 1.0, 2.0))]
    assert drawn(*rows) == ["error_capacity"]


def test_later_stages_and_runs_without_a_training_error_are_left_out():
    large = row(2, params=5000, config={"model.hidden": [9]})
    assert drawn(row(1), {**large, "train_top1": None}) == []
    assert drawn(row(1), {**large, "dense": False, "stage": "prune"}) == []


def test_more_lines_than_colours():
    rows = [
        row(10 * i + j, params=1000 * (j + 1), config={"optimizer.lr": i, "model.hidden": [j]})
        for i in range(12)
        for j in range(2)
    ]
    assert drawn(*rows) == ["error_capacity"]
