"""The picture of the training curves."""

import matplotlib.image
import numpy as np
import pytest

from effdl.report.plots.curves import curves


def rows(stage, fit, epochs, validated=True):
    made = []
    for epoch in range(1, epochs + 1):
        row = {"stage": stage, "fit": fit, "epoch": epoch, "loss": 2.0 / epoch, "top1": 1 - 1 / (epoch + 1)}
        made.append(row | ({"val_loss": 2.2 / epoch, "val_top1": 0.5} if validated else {}))
    return made


CASES = {
    "one epoch": rows("dense", 0, 1),
    "without validation": rows("dense", 0, 5, validated=False),
    "stages": rows("dense", 0, 10) + rows("prune", 1, 5) + rows("quantize", 2, 1),
    "one stage with two trainings": rows("dense", 0, 2) + rows("prune", 1, 2) + rows("prune", 2, 2),
    "many epochs": rows("dense", 0, 200),
    "a loss of zero": [{**rows("dense", 0, 1)[0], "loss": 0.0, "val_loss": 0.0}],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("error:.*layout")
def test_a_picture_with_something_in_it(case, tmp_path):
    png = curves(CASES[case], "outputs/run")
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "x.png").write_bytes(png)
    pixels = matplotlib.image.imread(tmp_path / "x.png")
    assert pixels.shape[:2] == (432, 1080)
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 50


@pytest.mark.parametrize("title", ["/data/$x$", "$_{", "/a/$b/$c", "_^\\", ""])
def test_any_path_can_be_the_title(title):
    assert len(curves(rows("dense", 0, 2), title)) > 1000


def test_equal_rows_give_equal_pictures():
    assert curves(CASES["stages"], "t") == curves(CASES["stages"], "t")
