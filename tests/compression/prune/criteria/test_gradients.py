"""SNIP and Taylor against gradients taken by hand."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from effdl.compression.prune.criteria.gradients import weight_gradients
from effdl.compression.prune.criteria.snip import snip
from effdl.compression.prune.criteria.taylor import taylor
from effdl.models.resnet import resnet
from effdl.nn.layers import weights
from effdl.nn.mask import mask_of


def network():
    torch.manual_seed(0)
    return resnet(1, 8, 10, depth=8).eval()


def by_hand(model, images, labels):
    """The gradients of a plain model's mean loss, by ``backward``."""
    model = copy.deepcopy(model).eval()
    F.cross_entropy(model(images), labels).backward()
    return [getattr(module, name).grad for _, module, name in weights(model)]


def test_snip_is_weight_times_gradient_of_one_large_batch(trainer):
    model = network()
    torch.manual_seed(3)
    images, labels = (torch.cat(parts) for parts in zip(*trainer.calibration_batches(150), strict=True))
    expected = [
        (getattr(module, name) * gradient).abs()
        for (_, module, name), gradient in zip(weights(model), by_hand(model, images, labels), strict=True)
    ]
    torch.manual_seed(3)
    for score, wanted in zip(snip(model, trainer, images=150), expected, strict=True):
        assert torch.allclose(score, wanted, rtol=1e-3, atol=1e-7)


def test_taylor_is_the_mean_square_over_batches(trainer):
    model = network()
    sums = 0
    torch.manual_seed(3)
    batches = trainer.calibration_batches(40, 16)  # 16, 16 and 8
    for images, labels in batches:
        parts = [
            (getattr(module, name) * gradient) ** 2
            for (_, module, name), gradient in zip(weights(model), by_hand(model, images, labels), strict=True)
        ]
        sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else parts
    torch.manual_seed(3)
    for score, total in zip(taylor(model, trainer, images=40, batch_size=16), sums, strict=True):
        assert torch.allclose(score, total / 3, rtol=1e-4, atol=1e-12)


def test_opposite_gradients_cancel_for_snip_only(trainer):
    """One weight, two images: y = w x, and losses whose gradients are opposite."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    nn.init.zeros_(model[1].weight)
    with torch.no_grad():
        model[1].weight += 1.0  # both logits are the same, so each class has probability 1/2
    trainer.calibration_batches = lambda count, batch_size=64: list(
        zip(torch.ones(2, 1, 1, 1).split(batch_size), torch.tensor([0, 1]).split(batch_size), strict=True)
    )
    assert snip(model, trainer, images=2)[0].tolist() == [[0.0], [0.0]]
    assert taylor(model, trainer, images=2, batch_size=2)[0].tolist() == [[0.0], [0.0]]
    assert taylor(model, trainer, images=2, batch_size=1)[0].tolist() == [[0.25], [0.25]]


def test_the_score_is_the_change_of_the_loss(trainer):
    """To first order, without a weight the loss changes by as much as the score says."""
    model = network().double()
    [(images, labels)] = [(images.double(), labels) for images, labels in trainer.calibration_batches(32)]
    tensors, gradients = weight_gradients(model, images, labels)
    loss = F.cross_entropy(model(images), labels)
    _, module, name = list(weights(model))[2]
    parameter, small = getattr(module, name), 1e-4
    with torch.no_grad():
        parameter[3, 2, 1, 1] *= 1 - small
    change = (F.cross_entropy(model(images), labels) - loss).item() / small
    assert change == pytest.approx(-float(tensors[2][3, 2, 1, 1] * gradients[2][3, 2, 1, 1]), rel=1e-2)


@torch.no_grad()  # as inside a training's `after_update`
def test_the_model_is_left_as_it_was(trainer):
    model = network().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    taylor(model, trainer, images=8, batch_size=4)
    snip(model, trainer, images=8)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_masked_weights_score_nothing(trainer):
    model = network()
    keep = {}
    for name, module, attribute in list(weights(model)):
        mask = mask_of(module, attribute)
        mask.keep.copy_(torch.rand(mask.keep.shape) > 0.5)
        keep[name] = mask.keep
    for scores in (snip(model, trainer, images=8), taylor(model, trainer, images=8, batch_size=8)):
        for mask, score in zip(keep.values(), scores, strict=True):
            assert (score[~mask] == 0).all()
            assert (score[mask] > 0).any()


@pytest.mark.parametrize("name", ["snip", "taylor"])
def test_pruned_as_shipped(name, trainer, pruned):
    model = pruned(network(), trainer, 0.8, name=name)
    tensors = [getattr(module, attribute) for _, module, attribute in weights(model)]
    assert sum(int((t == 0).sum()) for t in tensors) == round(0.8 * sum(t.numel() for t in tensors))
