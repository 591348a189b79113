"""The table of a cross-validation."""

from effdl.report.folds import CrossValidated, folds_table


def entry(label, *values, key="val_top1"):
    return CrossValidated(label, [(fold, {"top1": 0.1, key: value}) for fold, value in values])


def test_mean_deviation_and_interval_are_over_folds_on_the_validation_split():
    table = folds_table([entry("prune=0.5", (0, 0.7), (1, 0.8), (2, 0.9)), entry("prune=0.9", (0, 0.5), (1, 0.5))])
    assert table.rows[0] == ["prune=0.5", "3", "3", "80.00 %", "10.00 %", "55.16 % to 100.00 %"]
    assert table.rows[1] == ["prune=0.9", "2", "2", "50.00 %", "0.00 %", "50.00 % to 50.00 %"]


def test_seeds_of_a_fold_are_averaged_first():
    values = [(0, 0.6), (0, 0.8), (1, 0.9)]  # a fold whose seeds are far apart counts once
    assert folds_table([entry("a", *values)]).rows[0][1:5] == ["2", "3", "80.00 %", "14.14 %"]


def test_a_fold_that_is_missing_or_not_measured_is_not_made_up():
    assert folds_table([entry("a", (0, 0.5), (1, None)), entry("b", (0, 0.5), (1, 0.7))]).rows[0] == [
        *("a", "1", "1", "50.00 %", "-", "-")
    ]
    assert folds_table([entry("a", (0, 0.5)), entry("b", (0, 0.5))]) is None
    assert folds_table([]) is None


def test_another_accuracy_where_top1_was_not_measured():
    rows = [(fold, {"top2": 0.1, "val_top2": 0.5 + fold / 10}) for fold in (0, 1)]
    table = folds_table([CrossValidated("a", rows)])
    assert (table.rows[0][3], "validation top-2" in table.title) == ("55.00 %", True)
