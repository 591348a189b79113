"""Every method in a run on the digits: its row, its epochs, resume, collapse, and the steps that follow."""

import json
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from effdl.config.compose import composed, settings
from effdl.config.options import config_folder, option_files
from effdl.data.random_views import random_views
from effdl.measure.energy import EnergyMeter
from effdl.models.features import feature_width
from effdl.models.stored import load_model
from effdl.pretraining.masked import patches
from effdl.pretraining.method import Pretext
from effdl.pretraining.predict import Predict
from effdl.pretraining.trunk import pretrain, trunk_of
from effdl.runs.execute import execute
from effdl.runs.folder import RunFolder
from effdl.runs.prepare import prepare_run
from effdl.runs.runner import Runner
from effdl.utils.errors import RunError, TrialPruned, UserError

pytest.importorskip("lightly")
SMALL = ("dataset.subset=500", "epochs=1", "device.threads=1", "energy.enabled=false", "pretraining.epochs=2")
MLP = ("model=mlp", "model.hidden=[32]")
VIT = ("model=vit", "model.patch=2", "model.dim=32", "model.depth=1", "model.heads=2")
STAGES = ("pretraining", "dense")
METHODS = sorted({*option_files("pretraining", config_folder())} - {"none"})


class Stop:
    """Stops the run after its first epoch."""

    def epoch_end(self, row):
        raise TrialPruned("enough")


@pytest.fixture
def run(tmp_path):
    """Carry out a run in a folder of this name; returns the folder."""

    def run(name, *overrides, model=MLP, callbacks=()):
        prepared = prepare_run(settings(composed([*model, *SMALL, *overrides], None)))
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir(exist_ok=True)
        execute(prepared, folder, EnergyMeter(**prepared.config["energy"]), callbacks)
        return folder

    return run


@pytest.mark.parametrize("method", METHODS)
def test_a_method_learns_features_without_labels(run, method):
    folder = run("run", f"pretraining={method}", model=VIT if method == "masked" else MLP)
    row, dense = folder.result["stages"]
    assert (row["stage"], row["method"], row["epochs"], dense["stage"]) == ("pretraining", method, 2, "dense")
    assert (row["top1"], row["loss"], row["val_top1"]) == (None, None, None)
    assert row["val_knn_top1"] > (0.2 if method == "masked" else 0.6)  # chance is 0.1
    epochs = [row for row in folder.epochs.read() if row["stage"] == "pretraining"]
    assert [(epoch["top1"], epoch["images"]) for epoch in epochs] == [(None, 448)] * 2  # whole batches of 64
    assert all(epoch["val_knn_top1"] > 0.2 and epoch["embedding_rank"] > 2.5 for epoch in epochs)
    assert (row["embedding_std"], row["embedding_rank"]) == (epochs[1]["embedding_std"], epochs[1]["embedding_rank"])
    assert row["training_flops"] > 0


def test_training_begins_with_the_pretrained_weights_and_a_new_last_layer(run):
    folder = run("run", "pretraining=simclr", "epochs=0")
    torch.manual_seed(0)
    prepared = prepare_run(settings(composed([*MLP, *SMALL, "pretraining=simclr"], None)))
    untrained, stored = prepared.model.state_dict(), load_model(folder.model_file).state_dict()
    same = [name for name in untrained if torch.equal(untrained[name], stored[name])]
    assert same == [name for name in untrained if name.startswith("4.")]


def test_all_views_of_an_image_are_counted(run):
    """A step multiplies three times by each layer but the first, which passes no gradient on."""
    folder = run("run", "pretraining=simclr", "pretraining.hidden=16", "pretraining.dim=8", "epochs=0")
    similarities = 2 * 3 * 4 * (2 * 8 * 2) / 2  # 4 products of 2 x 8 by 8 x 2, with two images
    macs = 2 * (2 * 64 * 32 + 3 * (32 * 16 + 16 * 8))
    [first, _] = [row for row in folder.epochs.read() if row["stage"] == "pretraining"]
    assert first["training_flops"] == first["images"] * (2 * macs + similarities)


@pytest.mark.parametrize("method", ["byol", "dino"])
def test_a_pretraining_that_was_cut_off_ends_as_if_it_was_not(run, method):
    cut = run("cut", f"pretraining={method}", callbacks=[Stop()])
    assert cut.run["status"] == "stopped"
    again = run("cut", f"pretraining={method}", "resume=true")
    whole = run("whole", f"pretraining={method}")
    first, second = (load_model(folder.model_file).state_dict() for folder in (again, whole))
    assert all(torch.equal(first[name], second[name]) for name in second)
    keys = ("loss", "val_knn_top1", "embedding_rank")
    rows = [[[row.get(key) for key in keys] for row in folder.epochs.read()] for folder in (again, whole)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("method", ["simclr", "simsiam"])
def test_several_small_views_cost_by_their_pixels(run, method):
    small = ("pretraining.views.count=4", "pretraining.views.size=4")
    heads = ("pretraining.hidden=16", "pretraining.dim=8")
    thin, flops = ("model=resnet", "model.depth=8", "model.width=0.25"), []
    for views in ((), small):
        folder = run(f"run{len(views)}", f"pretraining={method}", "epochs=0", *heads, *views, model=thin)
        flops.append(folder.result["stages"][0]["training_flops"])
    assert 0.45 < flops[1] / flops[0] < 0.75  # of convolutions one half, of heads twice as much


def test_a_model_that_takes_images_of_one_size_has_no_small_views():
    with pytest.raises(UserError, match=r"pretraining.views.size=4: this model takes no images of that size"):
        prepare_run(settings(composed([*MLP, *SMALL, "pretraining=simclr", "pretraining.views.size=4"], None)))


def test_compression_follows(run):
    folder = run("run", "pretraining=simclr", "prune=0.5", "quantize=int8", "compression.magnitude.epochs=1")
    stages = folder.result["stages"]
    assert [row["stage"] for row in stages] == ["pretraining", "dense", "prune", "quantize"]
    assert stages[-1]["weight_sparsity"] >= 0.5
    assert stages[-1]["weight_bits"] < 8
    assert json.loads((folder.path / "run.json").read_text())["config"]["pretraining"]["option"] == "simclr"


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_a_collapse_is_noticed(tmp_path, caplog, stop_gradient):
    """SimSiam without its stop gradient (Chen & He 2021, section 4.1)."""
    from lightly.loss import NegativeCosineSimilarity
    from lightly.models.modules.heads import SimSiamPredictionHead

    prepared = prepare_run(settings(composed([*MLP, *SMALL[:-1]], None)))
    runner = Runner(prepared, RunFolder(tmp_path), EnergyMeter(**prepared.config["energy"]))
    width, runner.trainer.stage = feature_width(prepared.model), "pretraining"

    def objective(trunk):
        heads = nn.Linear(width, 32), SimSiamPredictionHead(32, 16, 32)
        return Predict(trunk, (2, 1, 8, 8), *heads, NegativeCosineSimilarity(), stop_gradient=stop_gradient)

    def method(model, data):
        return Pretext(objective, partial(random_views, flip=False))

    if stop_gradient:
        pretrain(prepared.model, runner.trainer, method, epochs=6)
        assert "collapsed" not in caplog.text
    else:
        with pytest.raises(RunError, match=r"collapsed: standard deviation .* effective rank .* lower optimizer.lr"):
            pretrain(prepared.model, runner.trainer, method, epochs=6)
        assert "It stops if they still are after the next epoch" in caplog.text


@pytest.mark.parametrize("model", ["resnet", "vit", "lenet5", "convnet"])
def test_the_trunk_gives_features_and_the_last_layer_comes_back(model):
    model = prepare_run(settings(composed([f"model={model}", "device.threads=1"], None))).model.eval()
    names, width, images = list(model.state_dict()), feature_width(model), torch.randn(2, 1, 8, 8)
    logits = model(images)
    with trunk_of(model) as trunk:
        assert trunk(images).shape == (2, width)
    assert list(model.state_dict()) == names
    assert torch.equal(model(images), logits)


def test_images_without_labels_are_learned_from_too(run):
    folder = run("run", "pretraining=simclr", "dataset.labelled=40")
    pretraining, dense = (next(row for row in folder.epochs.read() if row["stage"] == name) for name in STAGES)
    assert (pretraining["images"], dense["images"]) == (448, 40)
    assert folder.result["stages"][0]["val_knn_top1"] > 0.4
    assert "pretraining=simclr learns from them too" in folder.log_file.read_text()


class Watching:
    """Keeps what autoencoders draw."""

    def __init__(self):
        self.shown = []

    def drawn(self, pictures):
        self.shown.append(pictures)


def test_an_autoencoder_shows_what_it_draws(run):
    watching = Watching()
    run("run", "pretraining=denoising", "pretraining.epochs=20", "epochs=0", callbacks=[watching])
    [pictures] = watching.shown
    assert (pictures.shape, pictures.dtype) == ((10, 3, 1, 8, 8), torch.uint8)
    image, seen, drawn = pictures.double().unbind(1)
    errors = [(other - image).square().mean() for other in (image.mean(0), drawn)]
    assert errors[1] < 0.7 * errors[0]  # better than the mean image
    assert not torch.equal(seen, image)


def test_a_masked_autoencoder_shows_the_patches_that_it_draws(run):
    watching, options = Watching(), ("pretraining.ratio=0.5", "pretraining.epochs=1", "epochs=0")
    run("run", "pretraining=masked", *options, model=VIT, callbacks=[watching])
    [pictures] = watching.shown
    assert (pictures.shape, pictures.dtype) == ((10, 3, 1, 8, 8), torch.uint8)
    image, seen, drawn = (patches(part.double(), 2) for part in pictures.unbind(1))  # (10, 16, 4)
    visible = (seen == image).all(-1)
    gray = seen[~visible].unique()
    assert visible.sum(1).tolist() == [8] * 10  # half of the patches
    assert len(gray) == 1
    assert torch.equal(drawn[visible], image[visible])
    errors = [(other - image)[~visible].square().mean() for other in (image.mean(-1, keepdim=True), drawn)]
    assert errors[1] < 1.2 * errors[0]  # hardly worse, untrained, than the mean of each patch, which it is given


def test_what_is_no_pretext_is_named():
    with pytest.raises(RunError, match=r"must give an effdl.pretraining.method.Pretext, not 'loss'"):
        pretrain(nn.Linear(2, 2), SimpleNamespace(data=None), lambda model, data: "loss", epochs=1)
