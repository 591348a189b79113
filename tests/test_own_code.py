"""Code of one's own from a folder outside the package: the blocks of effdl/config/README.md, as they stand there."""

import json
import re
from pathlib import Path

import pytest

from effdl.utils.rows import Rows

PAGE = Path(__file__).parents[1] / "effdl" / "config" / "README.md"
BLOCKS = re.findall(r"^```(?:python|yaml)\n# (mine/\S+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
QUICK = ("epochs=1", "energy.enabled=false", "--config-dir", "mine")
SMALL = ("model=mlp", "model.hidden=[8]", *QUICK)


@pytest.fixture
def mine(effdl):
    """The command, in a folder with the page's files in ``mine``."""
    for name, text in BLOCKS:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    return effdl


def stages(folder):
    return json.loads(Path(folder, "result.json").read_text())["stages"]


def test_each_takes_fewer_than_15_lines():
    assert len(BLOCKS) == 12
    parts = {name: [line for line in text.splitlines() if line.strip()] for name, text in BLOCKS}
    assert all(len(lines) < 15 for lines in parts.values()), {name: len(lines) for name, lines in parts.items()}


def test_a_model(mine):
    assert mine("train", "model=tiny", *QUICK, "hydra.run.dir=a")[0] == 0
    assert stages("a")[0]["params"] == 64 * 32 + 32 + 32 * 10 + 10
    code, _, error = mine("evaluate", "a")
    assert code == 2
    assert "model=Tiny: a stored model may only name a family of effdl's" in error
    code, output, _ = mine("evaluate", "a", "--trust", "--config-dir", "mine")
    assert code == 0
    assert "the same as recorded, to the last digit" in output
    code, _, error = mine("train", "model=tiny", "model.width=wide", *QUICK)
    assert (code, error) == (2, "effdl: model.width=wide: allowed is a whole number\n")


def test_a_data_set(mine):
    code, output, error = mine("train", "dataset=blobs", *SMALL, "hydra.run.dir=a")
    assert (code, error) == (0, "")
    assert "mlp (556 parameters) on blobs (180 training, 20 validation and 200 test images, 1x8x8)" in output
    code, _, error = mine("evaluate", "a")
    assert (code, error) == (2, "effdl: dataset=blobs: a run folder may only name a data set of effdl's\n")
    assert mine("evaluate", "a", "--trust", "--config-dir", "mine")[0] == 0


def test_an_augmentation(mine):
    assert mine("train", "augment=[invert]", *SMALL, "hydra.run.dir=a")[0] == 0
    assert json.loads(Path("a/run.json").read_text())["config"]["augment"]["invert"]["share"] == 0.1
    code, _, error = mine("train", "augment=[invert]", "augment.invert.share=much", *SMALL)
    assert (code, error) == (2, "effdl: augment.invert.share=much: allowed is a number\n")


def test_a_compression_method(mine):
    assert mine("train", "prune=0.5", "compression=[every_other]", *SMALL, "hydra.run.dir=a")[0] == 0
    dense, pruned = stages("a")
    assert (dense["weight_sparsity"], pruned["weight_sparsity"]) == (0, 0.5)
    assert (pruned["stage"], pruned["method"], pruned["epochs"]) == ("prune", "every_other", 1)


def test_a_method_that_returns_no_model_is_named(mine):
    Path("mine/nothing.py").write_text("def nothing(model, trainer, *, level, epochs): ...\n")
    config = Path("mine/compression/every_other.yaml")
    config.write_text(config.read_text().replace("halving.every_other", "nothing.nothing"))
    code, output, _ = mine("train", "prune=0.5", "compression=[every_other]", *SMALL, "hydra.run.dir=a")
    assert code == 1
    assert "every_other is no compression method: it returned None instead of a model" in output


def test_a_method_that_loses_its_zeros_in_training_fails_its_run(mine):
    code = """
import torch
from effdl.compression.method import compression_method

@compression_method("mask")
def unmasked(model, trainer, *, level: float | None, epochs: int | None):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.view(-1)[::2] = 0
    return trainer.fit(model, epochs=1)
"""
    Path("mine/unmasked.py").write_text(code)
    config = Path("mine/compression/every_other.yaml")
    config.write_text(config.read_text().replace("halving.every_other", "unmasked.unmasked"))
    code, output, _ = mine("train", "prune=0.5", "compression=[every_other]", *SMALL, "hydra.run.dir=a")
    assert code == 1
    assert "prune: a method of the kind mask leaves zeros: there were 0, there are 0" in output


def test_a_distillation_loss(mine):
    assert (
        mine("train", "distill=self", "prune=0.5", "compression=[distance,magnitude]", *SMALL, "hydra.run.dir=a")[0]
        == 0
    )
    without = mine("train", "prune=0.5", "compression=[magnitude]", *SMALL, "hydra.run.dir=b")
    assert without[0] == 0
    losses = [[row["loss"] for row in Rows(Path(name, "epochs.jsonl")).read()] for name in "ab"]
    assert losses[0][0] == losses[1][0]
    assert losses[0][1] > losses[1][1]


def test_a_metric(mine):
    code, output, _ = mine("train", "metric=[confidence]", *SMALL, "hydra.run.dir=a")
    assert code == 0
    [row] = stages("a")
    assert 0.1 < row["confidence"] < 1
    assert "confidence" in output
    code, output, _ = mine("report", "a", "--columns", "name,confidence", "--format", "csv")
    assert code == 0
    assert f"{row['confidence']}" in output
    code, output, _ = mine("evaluate", "a", "--trust", "--config-dir", "mine")
    assert code == 0
    assert "confidence" in output
    assert mine("train", *SMALL, "hydra.run.dir=b")[0] == 0
    fingerprints = [json.loads(Path(name, "run.json").read_text())["config_fingerprint"] for name in "ab"]
    assert fingerprints[0] == fingerprints[1]  # it measures, and changes nothing


def test_what_is_chosen_is_listed(mine):
    code, output, _ = mine("list", "models", "--config-dir", "mine")
    assert code == 0
    assert re.search(r"tiny +One hidden layer", output)
