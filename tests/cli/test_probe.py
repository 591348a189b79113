"""`effdl probe` from the command line."""

import csv
import io
import json

import pytest

from effdl.runs.folder import RunFolder
from effdl.runs.verify import digests

QUICK = ("model=resnet", "model.depth=8", "model.width=0.5", "epochs=1", "energy.enabled=false", "dataset.subset=200")


@pytest.fixture
def run(effdl):
    assert effdl("train", *QUICK, "hydra.run.dir=run")[0] == 0
    return effdl


def test_a_run_is_probed_and_not_changed(run, tmp_path):
    before = digests(RunFolder(tmp_path / "run"))
    files = sorted((tmp_path / "run").rglob("*"))
    code, out, _ = run("probe", "run", "--plot", "probe.png")
    assert code == 0
    assert out.startswith("run: features of its parts on digits")
    assert "val linear top-1" in out
    assert (tmp_path / "probe.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = run("probe", "run", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["part"] for row in rows] == ["0", "3", "4", "5"]
    code, out, _ = run("probe", "run/model.safetensors", "dataset=digits", "dataset.subset=200", "--json")
    found = json.loads(out)
    assert [{key: str(value) for key, value in row.items()} for row in found] == rows
    code, out, _ = run(
        "probe", "model=resnet", "model.depth=8", "model.width=0.5", "model.weights=run", *QUICK[-1:], "--json"
    )
    assert json.loads(out) == found
    assert digests(RunFolder(tmp_path / "run")) == before
    assert sorted((tmp_path / "run").rglob("*")) == files
    for words, message in (
        (
            ("run", "model=mlp"),
            "model=mlp: has no effect on the probe of run (allowed: dataset, device,",
        ),
        (("run/model.safetensors",), "a file does not say its data (allowed: dataset=... beside it)"),
        (("run", "dataset=digits", "--root", "x"), "--root x: allowed for a run folder alone"),
        (("run", "dataset=digits", "dataset.val=0"), "set dataset.val above 0"),
    ):
        code, out, error = run("probe", *words)
        assert (code, out) == (2, "")
        assert message in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere",), "nowhere: not a run folder"),
        (
            ("prune=0.5",),
            "prune=0.5: has no effect on the probe (allowed: dataset, device,",
        ),
        (("model=mlp,resnet",), "model=mlp,resnet: a probe is of one config"),
        (("--plot", "x/y.png"), "--plot x/y.png: allowed is a file whose name ends with .png"),
        (("model=mlp", "model.hidden=[]"), "this model has one layer only"),
    ],
)
def test_wrong_use(effdl, words, message):
    code, out, error = effdl("probe", *words)
    assert (code, out) == (2, "")
    assert message in error
    assert error.count("\n") == 1
