"""A last layer trained on features is the one that the whole model would have learned."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from effdl.data.augment import flip_crop, mixup
from effdl.data.build import load
from effdl.data.loader import normalize
from effdl.measure.energy import EnergyMeter
from effdl.nn.mask import mask_of
from effdl.training import frozen_trunk
from effdl.training.callbacks import Callbacks
from effdl.training.checkpoint import Checkpoint
from effdl.training.device import Device
from effdl.training.epoch_log import EpochLog
from effdl.training.frozen_trunk import HeadTraining, head_training
from effdl.training.loop import fit
from effdl.training.optimizers import sgd
from effdl.training.recipe import Recipe
from effdl.training.schedules import one_cycle
from effdl.training.transfer import ALL_LEARN, resolved
from effdl.training.trunk_features import pick
from effdl.utils.errors import RunError
from effdl.utils.rows import Rows

CPU = Device(torch.device("cpu"))
SHAPE = (1, 8, 8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture(scope="module")
def data(digits_config):
    return load(digits_config(subset=200))


def network(seed=1):
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(54, 20), nn.ReLU(), nn.Dropout(0.3), nn.Linear(20, 10)),
    )


def recipe(model, **options):
    options = {"transfer": resolved(model, SHAPE, "head"), "epochs": 3, "schedule": one_cycle} | options
    return Recipe(batch_size=64, optimizer=partial(sgd, lr=0.1), **options)


class Killed(BaseException):
    """Stands for a kill between two epochs."""


class KilledAfter:
    """A callback that ends the training after an epoch, if one is given, and notes down how many were done before."""

    def __init__(self, last: int | None = None):
        self.last, self.done = last, None

    def training_begin(self, epochs: int, done: int) -> None:
        self.done = done

    def epoch_end(self, row: dict) -> None:
        if row["epoch"] == self.last:
            raise Killed


def train(model, data, recipe, folder, flops_before=0.0, callbacks=()):
    folder.mkdir(exist_ok=True)
    rows = Rows(folder / "epochs.jsonl")
    fit(
        model,
        data,
        recipe,
        CPU,
        seed=7,
        checkpoint=Checkpoint(folder, 0, "run"),
        meter=EnergyMeter(enabled=False, country=None, pue=1.0),
        callbacks=Callbacks(callbacks),
        log=EpochLog(rows, "dense", 0),
        flops_before=flops_before,
    )
    return rows.read()


@pytest.mark.parametrize("options", [{}, {"ema": 0.9}, {"early_stop": 2, "clip_norm": 0.5, "label_smoothing": 0.1}])
def test_the_same_numbers_as_behind_the_trunk(data, tmp_path, options):
    """With dropout before the last layer, which draws the same; a mask on it stays."""
    whole, cut = network(), network()
    for model in (whole, cut):
        mask_of(model[9], "weight").keep = (torch.arange(200) % 2).bool().view(10, 20)
    expected = train(whole, data, recipe(whole, **options), tmp_path / "a")
    found = head_training(cut, data, recipe(cut, **options), CPU)
    assert isinstance(found, HeadTraining)
    assert found.recipe.transfer is ALL_LEARN
    rows = train(found.head, found.data, found.recipe, tmp_path / "b", found.flops)
    for key in ("loss", "top1", "lr", "images", "val_loss", "val_top1", "params_trainable"):
        assert [row[key] for row in rows] == pytest.approx([row[key] for row in expected], rel=1e-5), key
    torch.testing.assert_close(cut.state_dict(), whole.state_dict(), rtol=1e-4, atol=1e-6)
    trunk, head = 2 * (36 * 6 * 9 + 54 * 20), 2 * 20 * 10
    assert found.flops == len(data.train) * trunk
    assert [row["training_flops"] for row in rows] == [128 * 2 * head + more for more in (found.flops, 0, 0)]
    assert expected[0]["training_flops"] == 128 * (trunk + 2 * head)


def test_features_are_found_by_the_content_of_what_makes_them(data, digits_config):
    def flops(model, data=data, device=CPU):
        return head_training(model, data, recipe(model), device).flops

    assert flops(network()) > 0
    assert flops(network()) == 0
    other = network()
    with torch.no_grad():
        other[9].weight.mul_(2)  # of the last layer
    assert flops(other) == 0
    with torch.no_grad():
        other[1].running_mean.add_(1)
    assert flops(other) > 0
    assert flops(network(2)) > 0
    assert flops(network(), replace(data, mean=(1.0,))) > 0
    assert flops(network(), load(digits_config(subset=200, split_seed=1))) > 0
    assert flops(network(), device=Device(torch.device("cpu"), "bf16")) > 0
    strided = network()
    strided[4] = nn.AvgPool2d(2)  # the same weights
    assert flops(strided) > 0


def test_features_that_do_not_fit_are_computed_again(data, monkeypatch):
    monkeypatch.setattr(frozen_trunk.feature_cache, "read", lambda key: torch.ones(len(data.train), 20))
    assert head_training(network(), data, recipe(network()), CPU).flops > 0


CROP = partial(flip_crop, flip=False, pad=1)


def test_views_are_computed_once_and_one_of_them_is_trained_on(data, tmp_path):
    options = {"augment": (CROP,), "cached_views": 3}
    found, again, other = (
        head_training(network(), data, recipe(network(), **options), CPU, seed=seed) for seed in (5, 5, 6)
    )
    assert found.flops == 3 * len(data.train) * 2 * (36 * 6 * 9 + 54 * 20)
    assert (again.flops, other.flops) == (0, found.flops)
    features = found.data.train.images
    assert features.shape == (len(data.train), 3, 20, 1, 1)
    assert torch.equal(again.data.train.images, features)
    assert not torch.equal(other.data.train.images, features)
    model = network().eval()
    torch.manual_seed(5)
    for view in range(3):
        shown = normalize(CROP(data.train.images, data.train.labels)[0], data.mean, data.std)
        torch.testing.assert_close(features[:, view, :, 0, 0], model[:8](shown))
    plain = head_training(network(), data, recipe(network()), CPU)
    assert torch.equal(found.data.val.images, plain.data.val.images)
    rows = train(found.head, found.data, found.recipe, tmp_path / "a", found.flops)
    assert [row["training_flops"] for row in rows] == [128 * 2 * 2 * 20 * 10 + more for more in (found.flops, 0, 0)]
    same = train(again.head, again.data, again.recipe, tmp_path / "b")
    assert [row["loss"] for row in same] == [row["loss"] for row in rows]
    assert "20 features of each of 3 views, which were computed once" in str(found)


@pytest.mark.parametrize("forgotten", [False, True], ids=["features kept", "features lost"])
def test_a_head_on_views_resumes_bit_identical(data, tmp_path, monkeypatch, forgotten):
    def trained(folder, *callbacks):
        found = head_training(network(), data, options, CPU, seed=5)
        rows = train(found.head, found.data, found.recipe, tmp_path / folder, found.flops, callbacks)
        return found.head.state_dict(), [row["loss"] for row in rows]

    options = recipe(network(), augment=(CROP,), cached_views=2)
    whole, losses = trained("whole")
    with pytest.raises(Killed):
        trained("cut", KilledAfter(1))
    if forgotten:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    rest = KilledAfter()
    resumed, again = trained("cut", rest)
    assert rest.done == 1
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())
    assert again == losses


def test_a_view_is_picked_for_each_image():
    torch.manual_seed(0)
    views = torch.arange(400).view(100, 4, 1, 1, 1)
    picked, targets = pick(views, torch.arange(100))
    assert picked.shape == (100, 1, 1, 1)
    assert torch.equal(picked.flatten() // 4, targets)
    assert all(15 <= (picked % 4 == view).sum() <= 35 for view in range(4))


def test_an_augmentation_that_changes_labels_is_not_cached(data):
    options = {"augment": (lambda images, targets: (images, targets.flip(0)),), "cached_views": 2}
    with pytest.raises(RunError, match="an augmentation changes labels"):
        head_training(network(), data, recipe(network(), **options), CPU)


class Functional(nn.Module):
    """Drops features in training by a function, and scales its logits."""

    def __init__(self, scale=1.0, drop=0.0):
        super().__init__()
        self.conv, self.linear, self.scale, self.drop = nn.Conv2d(1, 4, 3), nn.Linear(4, 10), scale, drop

    def forward(self, x):
        return self.scale * self.linear(F.dropout(self.conv(x).mean((2, 3)), self.drop, self.training))


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        (network(), {"augment": (partial(mixup, classes=10),)}, "images are augmented (augment=[], or cached_v"),
        (network(), {"augment": (partial(mixup, classes=10),), "cached_views": 2}, "blends images and labels anew"),
        (network(), {"penalties": (lambda model: 0,)}, "a penalty, a method or a distillation works on the whole"),
        (network(), {"keep_epoch": 1}, "all weights are kept to rewind to"),
        (Functional(scale=2.0), {}, "the model computes more than its last layer"),
        (Functional(drop=0.5), {}, "the model computes its features otherwise in training"),
        (nn.Sequential(nn.Conv2d(1, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), {}, "is applied to maps or tokens"),
    ],
)
def test_why_the_whole_model_must_run_is_said(data, model, options, reason):
    found = head_training(model, data, recipe(model, **options), CPU)
    assert found.startswith("the frozen layers run in every epoch: ")
    assert reason in found
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_where_more_learns_there_is_nothing_to_say(data):
    model = network()
    for trainable in ("all", "last:2", "norm", "*.bias"):
        assert head_training(model, data, recipe(model, transfer=resolved(model, SHAPE, trainable)), CPU) is None
