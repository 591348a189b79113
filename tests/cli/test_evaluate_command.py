"""``effdl evaluate`` with what it shows besides."""

import json
import re
from pathlib import Path

RUN = Path(__file__).parents[1] / "data" / "layout-3"


def test_the_classes_and_their_picture_agree_with_the_accuracy(effdl):
    code, output, error = effdl("evaluate", str(RUN), "--classes", "--confusion", "confusion.png")
    assert (code, error) == (0, "")
    rows = re.findall(r"^ *(\d) +(\d+) +(\d+) +[\d.]+ % +(\d|-) *$", output, re.MULTILINE)
    assert sorted(int(name) for name, *_ in rows) == list(range(10))
    images, correct = (sum(int(row[column]) for row in rows) for column in (1, 2))
    stages = json.loads((RUN / "result.json").read_text())["stages"]
    assert images == 360
    assert correct / images == stages[-1]["top1"]
    accuracies = [int(right) / int(of) for _, of, right, _ in rows]
    assert accuracies == sorted(accuracies)
    assert Path("confusion.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_is_not_there_is_named_before_anything_is_measured(effdl):
    code, output, error = effdl("evaluate", str(RUN), "--confusion", "missing/confusion.png")
    assert (code, output) == (2, "")
    assert error == "effdl: --confusion missing/confusion.png: there is no folder missing\n"
