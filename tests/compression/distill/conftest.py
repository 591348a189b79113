"""What the tests of distillation share: digits, a teacher that knows them, and a trainer."""

import copy
from functools import partial

import pytest
import torch

from effdl.data.build import load
from effdl.models.resnet import resnet
from effdl.training.optimizers import sgd
from effdl.training.schedules import one_cycle

RECIPE = {"batches": 10_000, "batch_size": 32, "optimizer": partial(sgd, lr=0.05), "schedule": one_cycle}


@pytest.fixture(scope="session")
def digits(digits_config):
    return load(digits_config())


@pytest.fixture
def make_trainer(digits, make_trainer):
    """A trainer on all digits, for four epochs; `teacher` is named "run"."""

    def make(teacher=None, **options):
        teachers = {} if teacher is None else {"run": teacher}
        return make_trainer(digits, **{**RECIPE, "epochs": 4, "teachers": teachers, **options})

    return make


@pytest.fixture(scope="session")
def trained(digits, train_for_all):
    """A ResNet-8 that has learned the digits."""
    torch.manual_seed(0)
    return train_for_all(resnet(1, 8, 10, depth=8), digits, epochs=6, **RECIPE).requires_grad_(False)


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
