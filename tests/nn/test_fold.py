"""Folded batch norms change nothing, and are found by what happens in the forward pass."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval, fuse_linear_bn_eval, parametrize

from effdl.models.densenet import densenet
from effdl.models.mobilenetv2 import mobilenetv2
from effdl.models.resnet import resnet
from effdl.nn.call_graph import CallGraph
from effdl.nn.fold import fold, foldable_norms
from effdl.nn.mask import Mask


def trained(model):
    """With norms that do something, as after training."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.5, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
                if module.affine:
                    module.weight.normal_(1, 0.5, generator=generator)
                    module.bias.normal_(0, 0.5, generator=generator)
    return model.eval()


def fold_all(model, images):
    pairs = foldable_norms(CallGraph(model, images))
    for layer, norm in pairs.items():
        fold(model.get_submodule(layer), model.get_submodule(norm))
        model.set_submodule(norm, nn.Identity())
    return pairs


def norms(model):
    return sum(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("bias", [False, True])
def test_the_same_as_pytorch(bias):
    model = trained(nn.Sequential(nn.Conv2d(3, 5, 3, bias=bias), nn.BatchNorm2d(5)))
    reference = fuse_conv_bn_eval(*model)
    fold(*model)
    assert torch.allclose(model[0].weight, reference.weight, atol=1e-6)
    assert torch.allclose(model[0].bias, reference.bias, atol=1e-6)


def test_the_same_as_pytorch_for_a_linear_layer():
    model = trained(nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5)))
    reference = fuse_linear_bn_eval(*model)
    assert fold_all(model, torch.randn(2, 3)) == {"0": "1"}
    x = torch.randn(4, 3)
    assert torch.allclose(model(x), reference(x), atol=1e-6)


def test_a_norm_without_weights_of_its_own():
    model = trained(nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5, affine=False)).requires_grad_(False))
    images = torch.randn(2, 3, 6, 6)
    expected = model(images)
    fold_all(model, images)
    assert torch.allclose(model(images), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "keys", "left"),
    [(resnet, {"depth": 8}, 0), (mobilenetv2, {"width": 0.25}, 0), (densenet, {"depth": 10, "growth": 4}, 6)],
)
def test_a_whole_model_computes_the_same(make, keys, left):
    """DenseNet's norms after a concatenation have no layer of their own."""
    torch.manual_seed(0)
    model = trained(make(3, 16, 10, **keys))
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        expected = model(images)
        before = norms(model)
        folded = fold_all(model, images[:1])
        assert torch.allclose(model(images), expected, atol=1e-5 * expected.abs().max())
    assert norms(model) == left == before - len(folded)


class Crossed(nn.Module):
    """Norms named after the wrong layers."""

    def __init__(self):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return self.bn1(self.conv2(self.bn2(self.conv1(x))))


class Shared(nn.Module):
    """A convolution whose output is read twice, and a norm that is used twice."""

    def __init__(self, twice):
        super().__init__()
        self.conv, self.other, self.norm, self.twice = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), twice

    def forward(self, x):
        out = self.conv(x)
        return self.norm(self.other(self.norm(out))) if self.twice else self.norm(out) + out


def test_pairs_are_found_by_what_is_computed():
    assert fold_all(trained(Crossed()), torch.randn(1, 3, 4, 4)) == {"conv1": "bn2", "conv2": "bn1"}


@pytest.mark.parametrize("twice", [False, True])
def test_what_is_shared_stays(twice):
    model = trained(Shared(twice))
    assert fold_all(model, torch.randn(1, 3, 4, 4)) == {}
    assert norms(model) == 1


def test_a_norm_over_tokens_is_not_one_over_outputs():
    model = trained(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
    assert fold_all(model, torch.randn(2, 4, 3)) == {}


def test_masked_weights_stay_zero_in_later_training():
    model = trained(nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)))
    keep = torch.rand(5, 3, 3, 3, generator=torch.Generator().manual_seed(0)) > 0.7
    parametrize.register_parametrization(model[0], "weight", Mask(keep))
    images = torch.randn(4, 3, 8, 8)
    expected = model(images)
    fold_all(model, images)
    assert torch.allclose(model(images), expected, atol=1e-5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(images).pow(2).mean().backward()
        optimizer.step()
    assert (model[0].weight[~keep].view(torch.int32) == 0).all()
    assert (model[0].weight[keep] != 0).all()


@pytest.mark.cuda
def test_norms_fold_to_the_same_on_a_gpu(cuda):
    model = trained(resnet(3, 8, 10, depth=8))
    on_gpu = copy.deepcopy(model).to(cuda)
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    fold_all(model, images)
    fold_all(on_gpu, images.to(cuda))
    for (name, expected), found in zip(model.state_dict().items(), on_gpu.state_dict().values(), strict=True):
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-6, atol=1e-6, msg=name)
