"""Names, units and scales of axes."""

import pytest

from effdl.report.plots.axis import axis


@pytest.mark.parametrize(
    ("key", "values", "label", "value", "shown"),
    [
        ("top1", [0.91], "top-1 accuracy (%)", 0.91, 91.0),
        ("top5", [], "top-5 accuracy (%)", 1.0, 100.0),
        ("val_top1", [0.9], "top-1 validation accuracy (%)", 0.9, 90.0),
        ("size_bytes", [20_000, 90_000, 400_000], "size on disk (KB)", 20_000, 20.0),
        ("size_bytes", [2e6, 9e6], "size on disk (MB)", 2e6, 2.0),
        ("macs", [41e6], "multiply-accumulates (M MACs)", 41e6, 41.0),
        ("macs", [0, 0, 0, 500], "multiply-accumulates (MACs)", 500, 500.0),
        ("params_nonzero", [270_000], "non-zero parameters (thousands)", 270_000, 270.0),
        ("params", [11e6], "parameters (millions)", 11e6, 11.0),
        ("params", [12], "parameters", 12, 12.0),
        ("latency_ms", [0.03], "latency of one image (ms)", 0.03, 0.03),
        ("energy_so_far_kwh", [2e-6], "energy of the run so far (mWh)", 2e-6, 2.0),
        ("energy_so_far_kwh", [1.5], "energy of the run so far (kWh)", 1.5, 1.5),
        ("optimizer.lr", [0.1], "optimizer.lr", 0.1, 0.1),
    ],
)
def test_a_label_and_what_it_makes_of_a_stored_number(key, values, label, value, shown):
    found = axis(key, values)
    assert found.label == label
    assert value * found.scale == pytest.approx(shown, rel=1e-12)


def test_which_way_is_better():
    assert {axis(key, []).better for key in ("top1", "top5", "compression_ratio", "weight_sparsity")} == {"max"}
    assert {axis(key, []).better for key in ("loss", "size_bytes", "macs", "course_score", "co2eq_g")} == {"min"}
    assert axis("epochs", []).better is None
