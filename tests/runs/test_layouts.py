r"""Run folders of earlier states: they work forever after.

Those of layout 1 name Python paths that are no more and have no seals; those of layout 3 name options, and are sealed.
All were made by one command, the second of each with SIGKILL in its second training::

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

DATA = Path(__file__).parents[1] / "data"
DONE, KILLED = DATA / "layout-1", DATA / "layout-1-killed"
LAYOUTS = (1, 3)
OVERRIDES = (
    *("model=mlp", "model.hidden=[16]", "prune=0.5", "quantize=4", "compression=[magnitude,lsq]", "epochs=4"),
    "energy.enabled=false",
)


@pytest.fixture(params=LAYOUTS)
def done(request):
    """A finished run of each layout."""
    return DATA / f"layout-{request.param}"


@pytest.fixture
def killed(done):
    """One of the same layout that was killed."""
    return done.with_name(f"{done.name}-killed")


@pytest.fixture
def folder(tmp_path):
    """A copy of one of the folders."""
    return lambda source: Path(shutil.copytree(source, tmp_path / "run"))


def test_layout_1_names_python_paths():
    for source in (DONE, KILLED):
        run = json.loads((source / "run.json").read_text())
        assert run["config"]["model"]["_target_"] == "effdl.models.mlp.mlp"
        assert run["config"]["compression"]["magnitude"]["_target_"] == "effdl.compression.prune.step.prune"
        assert "layout" not in run
    structure = json.dumps(read_description(DONE)["structure"])
    assert "effdl.models.activation_quantizer.ActivationQuantizer" in structure


def test_layout_3_names_options_and_is_sealed():
    for name in ("layout-3", "layout-3-killed"):
        run = json.loads((DATA / name / "run.json").read_text())
        assert (run["layout"], run["config"]["model"]["option"], len(run["seal"])) == (3, "mlp", 16)
        assert all("seal" in row for row in map(json.loads, (DATA / name / "epochs.jsonl").read_text().splitlines()))


def test_the_model_is_loaded(done):
    model = load_model(done)
    assert [module.bits for module in model.modules() if isinstance(module, ActivationQuantizer)] == [8, 8]
    assert model(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


def test_it_is_evaluated(effdl, folder, done):
    code, output, error = effdl("evaluate", str(folder(done)))
    assert (code, error) == (0, "")
    assert "the same as recorded, to the last digit" in output


def test_it_is_reported(effdl, folder, done, killed):
    found = gather([done, killed])
    assert not found.damaged
    assert [(row["stage"], row["method"]) for row in rows(found.runs[:1])] == [
        ("dense", "train"),
        ("prune", "magnitude"),
        ("quantize", "lsq"),
    ]
    assert found.runs[0].settings["model"] == "mlp"
    code, output, _ = effdl("report", str(folder(done)), "--where", "model=mlp")
    assert code == 0
    assert "best top1" in output


def test_a_finished_one_is_complete(effdl, folder, done):
    path = folder(done)
    before = (path / "result.json").read_bytes()
    code, output, _ = effdl("train", f"resume={path}")
    assert code == 0
    assert "is complete" in output
    assert (path / "result.json").read_bytes() == before


def test_a_killed_one_is_found_and_resumed(effdl, folder, done, killed, monkeypatch):
    path = folder(killed)
    monkeypatch.setattr("effdl.runs.unfinished.is_fresh", lambda folder: False)  # it is of another machine, and old
    code, _, error = effdl("train", *OVERRIDES, "resume=true", f"hydra.run.dir={path}")
    assert (code, error) == (0, "")
    run, result = RunFolder(path).run, RunFolder(path).result
    assert (run["status"], run["resumed"], run["layout"]) == ("done", 1, 2 if killed == KILLED else 3)
    assert run["config"]["compression"]["magnitude"]["criterion"] == {}
    assert len(Rows(path / "epochs.jsonl").read()) == 4 + 2 + 2
    expected = RunFolder(done).result["stages"]
    for now, then in zip(result["stages"], expected, strict=True):
        assert now["top1"] == pytest.approx(then["top1"], abs=0.05)  # to the last bit only on the same processor
        for key in ("stage", "method", "params", "macs", "weight_bits", "activation_bits"):
            assert now[key] == then[key], key


def test_an_unfinished_one_is_found_by_its_config(folder, killed, monkeypatch):
    path = folder(killed)
    monkeypatch.setattr("effdl.runs.unfinished.is_fresh", lambda folder: False)
    assert find_unfinished(path.parent, RunFolder(path).run["config_fingerprint"]) == path
    of_layout_1 = json.loads((KILLED / "run.json").read_text())["config_fingerprint"]
    assert find_unfinished(path.parent, of_layout_1) is None
