"""N:M patterns: exactly N of every M along the inputs, the largest; and where they do not fit."""

import pytest
import torch
from torch import nn

from effdl.compression.prune.nm import parse
from effdl.models.mobilenet import mobilenet
from effdl.models.resnet import resnet
from effdl.nn.layers import weights
from effdl.utils.errors import UserError


def groups(weight, size, dim=1):
    return weight.detach().movedim(dim, -1).unflatten(-1, (-1, size))


@pytest.mark.parametrize(("kept", "size"), [(2, 4), (1, 4), (4, 8), (1, 2), (7, 16)])
def test_every_group_of_resnet_20(kept, size, trainer, pruned):
    trainer.batches = 1
    torch.manual_seed(0)
    model = resnet(1, 8, 10)
    before = {name: getattr(module, attribute).detach().clone() for name, module, attribute in weights(model)}
    model = pruned(model, trainer, f"{kept}:{size}", name="nm", epochs=0)
    for index, (name, module, attribute) in enumerate(weights(model)):
        weight = getattr(module, attribute)
        if index == 0:
            assert torch.equal(weight, before[name])
            continue
        assert (torch.count_nonzero(groups(weight, size), dim=-1) == kept).all()
        largest = groups(before[name], size).abs().topk(kept).values.sort().values
        assert torch.equal(groups(weight, size).abs().topk(kept).values.sort().values, largest)
    trainer.fit(model, epochs=2)
    for index, (_, module, attribute) in enumerate(weights(model)):
        if index:
            assert (torch.count_nonzero(groups(getattr(module, attribute), size), dim=-1) <= kept).all()


def test_it_is_pytorch_s_own_pattern(trainer, pruned):
    """2:4 as PyTorch's semi-structured sparse tensors (Mishra et al.) take it: 2 of 4 in a row of a linear layer."""
    model = pruned(nn.Sequential(nn.Linear(64, 32)), trainer, "2:4", name="nm", skip_first=False)
    rows = model[0].weight.view(32, 16, 4)
    assert (torch.count_nonzero(rows, dim=-1) == 2).all()


def test_transposed_and_grouped_convolutions(trainer, pruned):
    model = nn.Sequential(nn.ConvTranspose2d(8, 6, 2), nn.Conv2d(8, 6, 3, groups=2))
    pruned(model, trainer, "1:4", name="nm", skip_first=False)
    assert (torch.count_nonzero(groups(model[0].weight, 4, dim=0), dim=-1) == 1).all()
    assert (torch.count_nonzero(groups(model[1].weight, 4), dim=-1) == 1).all()


def test_zeros_of_an_earlier_step_are_among_those_that_go(trainer, pruned):
    torch.manual_seed(0)
    model = pruned(resnet(1, 8, 10, depth=8), trainer, 0.3, name="random")
    before = {name: getattr(module, attribute) == 0 for name, module, attribute in weights(model)}
    model = pruned(model, trainer, "2:4", name="nm")
    for index, (name, module, attribute) in enumerate(weights(model)):
        weight = getattr(module, attribute)
        assert (weight[before[name]] == 0).all()
        if index:
            there = (~groups(before[name], 4)).sum(-1)
            assert torch.equal(torch.count_nonzero(groups(weight, 4), dim=-1), there.clamp(max=2))


def test_inputs_that_m_does_not_divide(trainer, pruned):
    with pytest.raises(UserError, match=r"prune=2:4: 4 does not divide the inputs of 0 \(1\); .*nm.exclude=\[0\]"):
        pruned(resnet(1, 8, 10), trainer, "2:4", name="nm", skip_first=False)
    with pytest.raises(UserError, match=r"prune=1:5: 5 does not divide the inputs of 3.conv1 \(16\), 3.conv2 \(16\)"):
        pruned(resnet(1, 8, 10), trainer, "1:5", name="nm")
    assert trainer.asked == []


def test_depthwise_convolutions_are_named_and_can_be_left_out(trainer, pruned):
    model = mobilenet(1, 8, 10)
    with pytest.raises(UserError, match=r"\(1\)") as caught:
        pruned(model, trainer, "2:4", name="nm")
    exclude = str(caught.value).rpartition("exclude=[")[2].removesuffix("]").split(",")
    model = pruned(model, trainer, "2:4", name="nm", exclude=exclude)
    for index, (name, module, _) in enumerate(weights(model)):
        if index and name not in exclude:
            assert (torch.count_nonzero(groups(module.weight, 4), dim=-1) == 2).all()
    assert len(exclude) > 5


@pytest.mark.parametrize("pattern", ["4:4", "5:4", "0:4"])
def test_patterns_that_prune_nothing_or_everything(pattern):
    with pytest.raises(UserError, match=f"prune={pattern}: of N:M, N must be from 1 to M - 1"):
        parse(pattern)
    assert parse("2:4") == (2, 4)
