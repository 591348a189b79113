"""``effdl train``: what a user's mistakes, sweeps and resumed runs look like."""

import json
from pathlib import Path

import pytest

from effdl.runs.folder import RunFolder

MISTAKES = {
    "prune=1.5": "prune=1.5: allowed is a number >= 0 and < 1, or null",
    "modle=resnet": "modle is not a key; did you mean 'model'?",
    "model=resnt": "model=resnt is not an option; did you mean 'resnet'?",
    "epochs=-1": "epochs=-1: allowed is a whole number >= 0",
    "model.dept=20": "model.dept is not a key; did you mean 'model.depth'?",
    "model.depth=21": "model.depth=21: allowed is one of 8, 20, 32, 44, 56, 110",
    "dataset=mnist dataset.root=/nowhere": "looked in /nowhere",
    "+foo=1": "foo is not a key",
    "prune==2": "prune==2: not a KEY=VALUE override",
    "compression=[magnitude,magnitude]": "an option can be in the list once",
    "compression=[] prune=0.5": "prune=0.5 has no step to use it",
    "batch_size=1.5": "batch_size=1.5: allowed is a whole number >= 1",
    "optimizer.lr=-1": "optimizer.lr=-1: allowed is a number > 0",
    "augment=[flip_crp]": "did you mean 'flip_crop'?",
    "early_stop=3 dataset.val=0": "early_stop=3 needs a validation split",
    "scheduler=plateau dataset.val=0": "scheduler=plateau needs a validation split",
    "experiment=mnist_convne": "did you mean 'mnist_convnet'?",
    "dataset.subset=99999": "dataset.subset=99999: 99999 images (allowed: 1 to 1437",
    "dataset.folds=5 dataset.fold=7": "dataset.fold=7: must be from 0 to 4",
    "model=torchvision model.name=resnet19": "model.name=resnet19",
    "model=torchvision model.name=alexnet": "cannot take 1x8x8 images",
    "model=torchvision dropout=0.5": "dropout=0.5 has no effect",
    "model.weights=/nope": "model.weights=/nope: no such file",
    "resume=/nope": "resume=/nope: no run folder there",
    "energy.country=FRANCE": "perhaps FRA (France)",
    "device.name=gpu": "device.name=gpu: allowed is one of auto, cpu, cuda, mps",
    "topk=[]": "topk=[]: allowed is a list",
    "-m resume=outputs/x prune=0.3,0.5": "resume=outputs/x names one run",
    "--config-dir /nope": "--config-dir /nope: no such folder",
    "--nope": "unrecognized arguments: --nope",
    "-m prune=0.5,1.5": "prune=1.5: allowed is",
    "-m model=mlp,resnt": "did you mean 'resnet'?",
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_a_mistake_gets_one_message_and_leaves_nothing(effdl, arguments):
    code, output, error = effdl("train", *arguments.split())
    assert code == 2
    assert MISTAKES[arguments] in error
    assert error.startswith("effdl: ")
    assert "Traceback" not in error + output
    assert not list(Path.cwd().iterdir())


def test_runs_of_the_same_second_get_folders_of_their_own(effdl):
    from effdl.cli.train import reserved

    assert [reserved(Path("outputs/now")).path.name for _ in range(3)] == ["now", "now-2", "now-3"]


def test_a_folder_is_never_overwritten(effdl):
    arguments = ("train", "model=mlp", "epochs=1", "hydra.run.dir=run")
    assert effdl(*arguments)[0] == 0
    before = Path("run/result.json").read_bytes()
    code, _, error = effdl(*arguments)
    assert code == 2
    assert "already holds a run (status done)" in error
    code, _, error = effdl(*arguments, "epochs=2", "resume=true")
    assert code == 2
    assert "epochs=2 (there: 1)" in error
    code, output, _ = effdl(*arguments, "resume=true")
    assert code == 0
    assert "run is complete" in output
    assert Path("run/result.json").read_bytes() == before


def test_resume_finds_the_last_unfinished_run_of_the_config(effdl):
    assert effdl("train", "model=mlp", "epochs=2", "hydra.run.dir=outputs/day/one")[0] == 0
    RunFolder("outputs/day/one").update(status="interrupted")
    code, output, _ = effdl("train", "model=mlp", "epochs=2", "resume=true")
    assert code == 0
    assert "folder: outputs/day/one" in output
    code, output, _ = effdl("train", "model=mlp", "epochs=2", "resume=outputs/day/one")
    assert code == 0
    assert "is complete" in output
    code, output, _ = effdl("train", "model=mlp", "epochs=1", "resume=true")
    assert code == 0
    assert "starting a new one" in output


def test_a_run_is_not_resumed_on_other_data(effdl):
    from PIL import Image

    from effdl.data import build as load

    for number in range(20):
        path = Path("images", "ab"[number % 2], f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    arguments = ("train", "dataset=image_folder", "dataset.root=images", "model=mlp", "epochs=1", "hydra.run.dir=run")
    assert effdl(*arguments)[0] == 0
    folder = RunFolder("run")
    folder.update(status="interrupted")
    Image.new("RGB", (8, 8), (255, 255, 255)).save("images/a/0.png")
    load.cached_load.cache_clear()  # another process would not have it
    code, _, error = effdl(*arguments, "resume=true")
    assert code == 2
    assert "holds a run on other data" in error
    assert folder.run["status"] == "interrupted"


def test_own_configs_extend_the_shipped_ones(effdl):
    Path("mine/model").mkdir(parents=True)
    Path("mine/model/tiny.yaml").write_text("# A tiny one\n_target_: effdl.models.mlp.mlp\nhidden: [7]\n")
    assert effdl("train", "--config-dir", "mine", "model=tiny", "epochs=1", "hydra.run.dir=run")[0] == 0
    assert json.loads(Path("run/result.json").read_text())["stages"][0]["params"] == 64 * 7 + 7 + 7 * 10 + 10
    assert "A tiny one" in effdl("list", "models", "--config-dir", "mine")[1]


def test_hydra_flags_work(effdl):
    code, output, _ = effdl("train", "model=mlp", "prune=0.25", "--cfg", "job")
    assert code == 0
    assert "prune: 0.25" in output
    code, output, _ = effdl("train", "--help")
    assert code == 0
    assert "effdl train -m" in output
    assert "model: convnet, densenet" in output
    assert "base: " not in output
    assert "Config search path" in effdl("train", "--info", "searchpath")[1]
    assert not Path("outputs").exists()
