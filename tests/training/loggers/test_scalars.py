"""What of a row is logged."""

from effdl.training.loggers.scalars import scalars


def test_numbers_only_and_never_a_zero_for_what_was_not_measured():
    row = {"stage": "prune", "fit": 1, "epoch": 3, "top1": 0.5, "params": 7, "energy_kwh": None, "latency_note": "x"}
    assert scalars("prune", row) == {"prune/top1": 0.5, "prune/params": 7.0}
