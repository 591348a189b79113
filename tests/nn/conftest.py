"""A small network and random masks for it."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.nn.layers import weights
from effdl.nn.mask import Mask


@pytest.fixture
def bits():
    """The bit pattern of a float32 tensor, in which 0.0 and -0.0 differ."""
    return lambda tensor: tensor.detach().contiguous().view(torch.int32)


@pytest.fixture
def network():
    """Makes the same network at every call."""

    def make():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))

    return make


@pytest.fixture
def masked():
    """Puts a random mask on every weight of a model; returns the masks by layer."""

    def mask(model, sparsity=0.5, seed=1):
        generator = torch.Generator().manual_seed(seed)
        masks = {}
        for name, module, attribute in list(weights(model)):
            masks[name] = torch.rand(getattr(module, attribute).shape, generator=generator) >= sparsity
            parametrize.register_parametrization(module, attribute, Mask(masks[name]))
        return masks

    return mask
