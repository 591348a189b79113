"""The walk through the families tells what works, what is refused, and what fails."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

timm = pytest.importorskip("timm")

from families.chosen import families  # noqa: E402
from families.table import reason, table  # noqa: E402
from families.walker import COLUMNS, Walker, walk  # noqa: E402


def outcomes(library, name):
    found = {}
    walk(library, name, lambda check, outcome, word: found.update({check: (outcome, word)}))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("family", families())
def test_nothing_fails(family):
    found = outcomes(family.partition(" ")[0], families()[family])
    assert {check: word for check, (outcome, word) in found.items() if outcome == "fails"} == {}
    assert found["load"][0] in ("yes", "late")


def test_every_family_is_walked_unless_its_smallest_model_is_huge():
    modules = {key.partition(" ")[2] for key in families() if key.startswith("timm ")}
    huge = {"deepseek_vit", "gemma4_vit", "mobilenetv5", "vgg"}  # above 100 M parameters
    if timm.__version__.startswith("1.0.3"):
        assert set(timm.list_modules()) - modules <= huge
    assert all(timm.is_model(name) for key, name in families().items() if key.startswith("timm "))


def test_what_cannot_work_is_refused_and_what_breaks_fails():
    walker = Walker("timm", "test_convnext")
    assert walker.macs().isdigit()
    walker.model.head.fc.weight.data[0, 0] = float("nan")  # reading back gives NaN, which is not the same
    with pytest.raises(RuntimeError, match="differs by nan"):
        walker.stored(walker.model, None)
    found = outcomes("timm", "no_such_model")
    assert list(found) == ["load"]
    assert found["load"][0] == "refused"


def test_the_table_counts_and_explains(tmp_path):
    first, second = list(families())[:2]
    lines = {
        first: [
            ["load", "yes", "32 1500000"],
            ["step", "yes", ""],
            ["filters", "refused", "prune=0.3: a.b (3) odd"],
        ],
        second: [["load", "yes", "64 200"], ["step", "late", ""], ["filters", "refused", "prune=0.3: c.d (7) odd"]],
    }
    for family, told in lines.items():
        (tmp_path / f"{family}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(tmp_path).splitlines() if "|" in line]
    assert rows[0] == ["family and model", "parameters", "pixels", *COLUMNS]
    at = rows[0].index("filters")
    assert [row[at] for row in rows[2:]] == ["no [1]", "no [1]", "0"]
    assert rows[2][:3] == [f"{first} `{families()[first]}`", "1.5 M", "32"]
    assert rows[4][0] == f"2 of {len(families())} families walked"
    assert table(tmp_path).endswith(f"1. {reason('prune=0.3: a.b (3) odd')}")
