"""Relative paths mean the folder where they were typed."""

import json
from pathlib import Path

import pytest
from PIL import Image

from effdl.config.paths import located

CONFIG = {
    "model": {"weights": "run"},
    "teacher": {},
    "compression": {
        "logits": {"stage": "distill", "level": "run"},
        "magnitude": {"stage": "prune", "level": 0.5, "amounts": "amounts.json"},
    },
}


def test_what_is_there_is_located_and_nothing_else(tmp_path):
    (tmp_path / "run").mkdir()
    found = located(CONFIG, tmp_path)
    assert found["model"]["weights"] == found["compression"]["logits"]["level"] == str(tmp_path / "run")
    assert found["compression"]["magnitude"] == CONFIG["compression"]["magnitude"]
    assert CONFIG["model"]["weights"] == "run"  # what was typed is left alone
    (tmp_path / "amounts.json").write_text("{}")
    assert located(CONFIG, tmp_path)["compression"]["magnitude"]["amounts"] == str(tmp_path / "amounts.json")


@pytest.mark.parametrize(("weights", "level"), [("pretrained", "self"), ("pretrained", "teacher"), (None, None)])
def test_words_are_no_paths(tmp_path, weights, level):
    for name in ("pretrained", "self", "teacher"):
        (tmp_path / name).mkdir()
    config = {"model": {"weights": weights}, "compression": {"logits": {"stage": "distill", "level": level}}}
    config["logger"] = {}
    assert located(config, tmp_path) == config


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///logs/m.db", "sqlite:///{}/logs/m.db"),
        ("./mlruns", "{}/mlruns"),
        ("file:mlruns", "file:{}/mlruns"),
        ("sqlite:////srv/m.db", "sqlite:////srv/m.db"),
        ("file:///srv/m", "file:///srv/m"),
        ("/srv/m", "/srv/m"),
        ("http://localhost:5000", "http://localhost:5000"),
        ("databricks://x", "databricks://x"),
    ],
)
def test_a_store_of_logs_is_where_it_was_typed(tmp_path, uri, expected):
    config = {"model": {}, "compression": {}, "logger": {"mlflow": {"uri": uri}, "wandb": {"mode": "offline"}}}
    found = located(config, tmp_path)["logger"]
    assert found == {"mlflow": {"uri": expected.format(tmp_path)}, "wandb": {"mode": "offline"}}
    assert located(config, tmp_path / "gone")["logger"] == config["logger"]


QUICK = ("model=mlp", "epochs=1", "energy.enabled=false")


@pytest.fixture
def given(effdl):
    """A run to learn from and to begin with, and amounts for its layers, in the current folder."""
    assert effdl("train", *QUICK, "hydra.run.dir=given/run")[0] == 0
    Path("given/amounts.json").write_text(json.dumps({"1": 0.5, "4": 0.5, "7": 0.9}))


@pytest.fixture
def folder_of_images(effdl):
    """Eight images of two classes in ``images``."""
    for number in range(8):
        file = Path("images", "ab"[number % 2], f"{number}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (30 * number, 0, 0)).save(file)


def test_a_folder_may_be_named_like_a_word_of_another_key(tmp_path):
    (tmp_path / "teacher").mkdir()
    found = located({"model": {"weights": "teacher"}, "compression": {}}, tmp_path)
    assert found["model"]["weights"] == str(tmp_path / "teacher")


USES = [
    ("model.weights=given/run",),
    ("distill=given/run",),
    ("prune=0.5", "compression.magnitude.amounts=given/amounts.json"),
]


@pytest.mark.parametrize("uses", USES)
@pytest.mark.parametrize("launcher", ["basic", "submitit_local"])
def test_in_jobs_that_work_in_folders_of_their_own(effdl, given, uses, launcher):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    where = ("hydra.job.chdir=true", f"hydra/launcher={launcher}", "hydra.sweep.dir=sweep")
    code, output, error = effdl("train", "-m", *QUICK, *uses, *where, "seed=0,1")
    assert code == 0, output + error
    assert "2 done" in output


@pytest.mark.parametrize("uses", USES)
def test_in_a_run_that_is_resumed_from_another_folder(effdl, given, uses, monkeypatch):
    from effdl.runs.folder import RunFolder
    from effdl.runs.runner import Runner

    def interrupt(self, *_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Runner, "run_stages", interrupt)
        assert effdl("train", *QUICK, *uses, "hydra.run.dir=given/half")[0] == 130
    typed = RunFolder("given/half").run["config"]
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    code, output, error = effdl("train", "resume=../given/half")
    assert code == 0, output + error
    assert RunFolder("../given/half").run["config"] == typed | {"resume": True}


def test_in_a_tree_that_has_moved_with_its_run(effdl, given, monkeypatch):
    """What is no longer where it was typed is looked for where the run is resumed."""
    from effdl.runs.runner import Runner

    def interrupt(self, *_):
        raise KeyboardInterrupt

    Path("old").mkdir()
    Path("given").rename("old/given")
    monkeypatch.chdir("old")
    with monkeypatch.context() as patched:
        patched.setattr(Runner, "run_stages", interrupt)
        assert effdl("train", *QUICK, "distill=given/run", "hydra.run.dir=half")[0] == 130
    monkeypatch.chdir("..")
    Path("old").rename("new")
    monkeypatch.chdir("new")
    assert effdl("train", "resume=half")[0] == 0


def test_the_root_of_a_data_set_in_jobs_that_work_in_folders_of_their_own(effdl, folder_of_images):
    where = ("dataset=image_folder", "dataset.root=images", "dataset.image_size=8", "hydra.job.chdir=true")
    code, output, error = effdl("train", "-m", *QUICK, *where, "hydra.sweep.dir=sweep", "seed=0,1")
    assert code == 0, output + error


def test_a_store_of_logs_in_jobs_that_work_in_folders_of_their_own(effdl):
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    where = ("logger=[mlflow]", "logger.mlflow.uri=sqlite:///logs/m.db", "hydra.job.chdir=true")
    code, output, error = effdl("train", "-m", *QUICK, *where, "hydra.sweep.dir=sweep", "seed=0,1")
    assert code == 0, output + error
    assert [str(path) for path in Path().rglob("m.db")] == ["logs/m.db"]


def test_own_code_in_a_launchers_process(effdl):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    Path("own/model").mkdir(parents=True)
    Path("own/nets_of_own.py").write_text(
        "from torch import nn\n\n\ndef tiny(channels: int, image_size: int, classes: int) -> nn.Module:\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, classes))\n"
    )
    Path("own/model/tiny.yaml").write_text("# One layer\n_target_: nets_of_own.tiny\nweights: null\n")
    own = ("--config-dir", "own", "model=tiny", "hydra/launcher=submitit_local", "hydra.sweep.dir=sweep")
    code, output, error = effdl("train", "-m", *own, *QUICK[1:], "seed=0,1")
    assert code == 0, output + error
    assert "2 done" in output
