r"""Run folders of an earlier layout, whose files name Python paths that are no more: they work forever after.

Both were made by one command before any module had a room, the second killed with SIGKILL in its second training::

    effdl train model=mlp model.hidden=[16] prune=0.5 quantize=4 compression=[magnitude,lsq] epochs=4 \
        energy.enabled=false
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

from effdl.models.stored import load_model, read_description
from effdl.nn.quantizers import ActivationQuantizer
from effdl.report.gather import gather, rows
from effdl.runs.folder import RunFolder
from effdl.runs.unfinished import find_unfinished
from effdl.utils.rows import Rows

DONE = Path(__file__).parents[1] / "data" / "layout-1"
KILLED = DONE.with_name("layout-1-killed")
OVERRIDES = (
    *("model=mlp", "model.hidden=[16]", "prune=0.5", "quantize=4", "compression=[magnitude,lsq]", "epochs=4"),
    "energy.enabled=false",
)


@pytest.fixture
def folder(tmp_path):
    """A copy of one of the folders."""
    return lambda source: Path(shutil.copytree(source, tmp_path / "run"))


def test_they_are_of_the_earlier_layout():
    for source in (DONE, KILLED):
        run = json.loads((source / "run.json").read_text())
        assert run["config"]["model"]["_target_"] == "effdl.models.mlp.mlp"
        assert run["config"]["compression"]["magnitude"]["_target_"] == "effdl.compression.prune.step.prune"
        assert "layout" not in run
    structure = json.dumps(read_description(DONE)["structure"])
    assert "effdl.models.activation_quantizer.ActivationQuantizer" in structure


def test_the_model_is_loaded():
    model = load_model(DONE)
    assert [module.bits for module in model.modules() if isinstance(module, ActivationQuantizer)] == [8, 8]
    assert model(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


def test_it_is_evaluated(effdl, folder):
    code, output, error = effdl("evaluate", str(folder(DONE)))
    assert (code, error) == (0, "")
    assert "the same as recorded, to the last digit" in output


def test_it_is_reported(effdl, folder):
    found = gather([DONE, KILLED])
    assert not found.damaged
    assert [(row["stage"], row["method"]) for row in rows(found.runs[:1])] == [
        ("dense", "train"),
        ("prune", "magnitude"),
        ("quantize", "lsq"),
    ]
    assert found.runs[0].settings["model"] == "mlp"
    code, output, _ = effdl("report", str(folder(DONE)), "--where", "model=mlp")
    assert code == 0
    assert "best top1" in output


def test_a_finished_one_is_complete(effdl, folder):
    path = folder(DONE)
    before = (path / "result.json").read_bytes()
    code, output, _ = effdl("train", f"resume={path}")
    assert code == 0
    assert "is complete" in output
    assert (path / "result.json").read_bytes() == before


def test_a_killed_one_is_found_and_resumed(effdl, folder, monkeypatch):
    path = folder(KILLED)
    monkeypatch.setattr("effdl.runs.unfinished.is_fresh", lambda folder: False)  # it is of another machine, and old
    code, _, error = effdl("train", *OVERRIDES, "resume=true", f"hydra.run.dir={path}")
    assert (code, error) == (0, "")
    run, result = RunFolder(path).run, RunFolder(path).result
    assert (run["status"], run["resumed"], run["layout"]) == ("done", 1, 2)
    assert run["config"]["compression"]["magnitude"]["criterion"] == {}
    assert len(Rows(path / "epochs.jsonl").read()) == 4 + 2 + 2
    expected = RunFolder(DONE).result["stages"]
    for now, then in zip(result["stages"], expected, strict=True):
        assert now["top1"] == pytest.approx(then["top1"], abs=0.05)  # to the last bit only on the same processor
        for key in ("stage", "method", "params", "macs", "weight_bits", "activation_bits"):
            assert now[key] == then[key], key


def test_an_unfinished_one_is_found_by_its_config(folder, monkeypatch):
    path = folder(KILLED)
    monkeypatch.setattr("effdl.runs.unfinished.is_fresh", lambda folder: False)
    assert find_unfinished(path.parent, RunFolder(path).run["config_fingerprint"]) == path
    assert find_unfinished(path.parent, json.loads((path / "run.json").read_text())["config_fingerprint"]) is None
