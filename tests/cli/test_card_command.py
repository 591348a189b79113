"""The card of a small run, read back by the Hub's own library."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from effdl.runs.folder import RunFolder

pytest.importorskip("huggingface_hub")


def test_the_card_says_what_the_run_measured(effdl):
    from huggingface_hub import ModelCard, metadata_load

    from effdl.models.stored import load_model

    arguments = ["train", "model=mlp", "epochs=1", "prune=0.5", "energy.country=FRA", "hydra.run.dir=run"]
    assert effdl(*arguments)[0] == 0
    assert effdl("card", "run", "--license", "mit")[0] == 0
    result, run = (json.loads(Path(f"run/{name}.json").read_text()) for name in ("result", "run"))
    card = ModelCard.load("run/README.md")
    card.data.to_dict()
    stage, total = result["stages"][-1], result["total"]
    found = {(e.metric_type, e.metric_name): e.metric_value for e in card.data.eval_results}
    assert found["accuracy", "top-1 accuracy"] == stage["top1"]
    assert found["size_bytes", "size_bytes"] == Path("run/model.safetensors").stat().st_size
    assert found["params_nonzero", "params_nonzero"] == stage["params_nonzero"]
    assert {(e.dataset_type, e.dataset_split) for e in card.data.eval_results} == {("digits", "test")}
    assert card.data.license == "mit"
    assert {"effdl", "magnitude"} <= set(card.data.tags)
    co2 = metadata_load("run/README.md")["co2_eq_emissions"]
    assert co2["emissions"] == total["co2eq_g"]
    assert co2["geographical_location"] == "FRA"
    assert co2["training_type"] == "pre-training"
    for part, how in total["source"].items():
        assert f"{part} {how}" in co2["source"]
    assert "estimated" in co2["source"] or "measured" in co2["source"]

    text = card.text
    assert f"{stage['params_nonzero']:,} that are not zero" in text
    assert str(Path.cwd()) not in card.content
    assert run["host"] not in card.content.split()
    assert load_model("run")(load_input(text)).shape == (2, 10)

    command = next(line for line in text.splitlines() if line.startswith("effdl train"))
    assert shlex.split(command) == ["effdl", "train", "model=mlp", "epochs=1", "prune=0.5", "energy.country=FRA"]
    assert effdl(*shlex.split(command)[1:], "hydra.run.dir=again")[0] == 0
    assert Path("again/model.safetensors").read_bytes() == Path("run/model.safetensors").read_bytes()


def load_input(text):
    """Two images of the shape that a card names."""
    import re

    import torch

    shape = re.search(r"\(n, (\d+), (\d+), (\d+)\)", text)
    return torch.zeros(2, *map(int, shape.groups()))


def test_mistakes_are_named(effdl, monkeypatch):
    code, _, error = effdl("card", "nothing")
    assert (code, "nothing: not a run folder" in error) == (2, True)
    assert effdl("train", "model=mlp", "epochs=1", "hydra.run.dir=run")[0] == 0
    folder = RunFolder("run")
    folder.update(status="interrupted")
    code, _, error = effdl("card", "run")
    assert (code, "run: the run is not complete (status interrupted)" in error) == (2, True)
    folder.update(status="done")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    code, _, error = effdl("card", "run")
    assert (code, "pip install 'effdl[hub]'" in error) == (2, True)
