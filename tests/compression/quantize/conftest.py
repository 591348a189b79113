"""A trainer on patterns, and a model that knows them."""

import copy
from functools import partial

import pytest
import torch
from torch.nn.utils import parametrize

from effdl.models.resnet import resnet
from effdl.nn.layers import weights
from effdl.nn.mask import Mask
from effdl.training.optimizers import sgd


def recipe(lr, epochs=8):
    """Ten batches an epoch."""
    return {"batches": 10, "batch_size": 64, "epochs": epochs, "optimizer": partial(sgd, lr=lr, nesterov=False)}


@pytest.fixture
def trainer(make_trainer, noisy_patterns):
    return make_trainer(noisy_patterns, **recipe(0.1))


@pytest.fixture(scope="session")
def trained(noisy_patterns, train_for_all):
    """A ResNet-8 of half the width that knows the patterns."""
    torch.manual_seed(0)
    return train_for_all(resnet(1, 8, 10, depth=8, width=0.5), noisy_patterns, **recipe(0.05, epochs=5))


@pytest.fixture
def dense(trained):
    return copy.deepcopy(trained)


@pytest.fixture
def pruned(dense):
    """`dense` with half of every layer's weights masked, and for each layer where its zeros are (bool)."""
    zeros = []
    for _, module, name in list(weights(dense)):
        weight = getattr(module, name)
        zeros.append(weight.abs() <= weight.abs().median())
        parametrize.register_parametrization(module, name, Mask(~zeros[-1]))
    return dense, zeros


@pytest.fixture
def compress(shipped):
    """Carry out a method with the values of its shipped file, checked, and what is given besides."""

    def run(name, model, trainer, level, **keys):
        torch.manual_seed(1)
        return shipped(name, model, trainer, level, **keys)

    return run
