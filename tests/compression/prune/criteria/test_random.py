"""The random criterion."""

import torch

from effdl.compression.prune.criteria.random import random
from effdl.models.resnet import resnet
from effdl.nn.layers import weights


def model():
    torch.manual_seed(0)
    return resnet(1, 8, 10, depth=8)


def test_scores_are_uniform_and_repeatable(trainer):
    network = model()
    torch.manual_seed(5)
    first = random(network, trainer)
    torch.manual_seed(5)
    second = random(network, trainer)
    assert [score.shape for score in first] == [getattr(m, n).shape for _, m, n in weights(network)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    flat = torch.cat([score.flatten() for score in first])
    assert abs(flat.mean() - 0.5) < 0.005  # 75,000 of them: five standard errors
    assert flat.min() >= 0
    assert flat.max() < 1


def test_every_layer_loses_about_the_same(trainer, pruned):
    network = pruned(model(), trainer, 0.7, name="random")
    total = gone = 0
    for _, module, name in weights(network):
        zeros, size = int((getattr(module, name) == 0).sum()), getattr(module, name).numel()
        assert abs(zeros / size - 0.7) < 5 * (0.7 * 0.3 / size) ** 0.5
        total, gone = total + size, gone + zeros
    assert gone == round(0.7 * total)
