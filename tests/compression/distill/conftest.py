"""What the tests of distillation share: digits, a teacher that knows them, and a trainer."""

import copy

import pytest
import torch

from effdl.data.build import load
from effdl.measure.energy import EnergyMeter
from effdl.models.mlp import mlp
from effdl.models.resnet import resnet
from effdl.training.callbacks import Callbacks
from effdl.training.checkpoint import Checkpoint
from effdl.training.device import Device
from effdl.training.epoch_log import EpochLog
from effdl.training.loop import fit
from effdl.training.optimizers import sgd
from effdl.training.recipe import Recipe
from effdl.training.schedules import one_cycle
from effdl.training.trainer import Trainer

CPU = Device(torch.device("cpu"))


@pytest.fixture(scope="session")
def digits():
    keys = {"val": 0.2, "folds": None, "fold": 0, "subset": None, "split_seed": 0, "mirror": False, "pad": 1}
    return load({"_target_": "effdl.data.digits.digits", **keys})


def new_trainer(digits, folder, *, epochs=4, teacher=None, fresh_model=None, callback=None):
    recipe = Recipe(
        epochs=epochs,
        batch_size=32,
        optimizer=lambda model: sgd(model, lr=0.05),
        schedule=one_cycle,
    )

    def train(model, recipe, stage, number):
        return fit(
            model,
            digits,
            recipe,
            CPU,
            seed=number,
            checkpoint=Checkpoint(folder, str(number)),
            meter=EnergyMeter(enabled=False, country=None, pue=1.0),
            callbacks=Callbacks([callback] if callback else []),
            log=EpochLog(folder / "epochs.jsonl", stage, number),
        )

    return Trainer(
        digits,
        recipe,
        CPU,
        train,
        fresh_model or (lambda: mlp(1, 8, 10, hidden=[30])),
        dict,
        {} if teacher is None else {"run": teacher},
    )


@pytest.fixture
def make_trainer(digits, tmp_path):
    return lambda folder=tmp_path, **options: new_trainer(digits, folder, **options)


@pytest.fixture(scope="session")
def trained(digits, tmp_path_factory):
    """A ResNet-8 that has learned the digits."""
    torch.manual_seed(0)
    trainer = new_trainer(digits, tmp_path_factory.mktemp("teacher"), epochs=6)
    return trainer.fit(resnet(1, 8, 10, depth=8), epochs=6).requires_grad_(False)


@pytest.fixture
def teacher(trained):
    """The same for one test, which fails if the teacher is another model in the end."""
    model = copy.deepcopy(trained)
    yield model
    assert not any(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    for name, tensor in trained.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
