"""Whole models: budgets that are met, layers that are left alone, structures that can be stored."""

import logging

import pytest
import torch
from torch import nn

from effdl.compression.factorize.factors import spatial, svd, tucker
from effdl.compression.factorize.replace import factorized
from effdl.measure.macs import macs
from effdl.models.mobilenet import mobilenet
from effdl.models.resnet import resnet
from effdl.models.structure import apply, changes
from effdl.models.vgg import vgg
from effdl.models.vit import vit
from effdl.utils.errors import UserError

RESNET = [f"{block}.conv{number}" for block in range(3, 12) for number in (1, 2)]


def best_of(method):
    """As the methods choose: `method` for windows, SVD for the rest (nothing, if it is spatial)."""

    def factors_of(layer, positions):
        if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
            return method(layer, positions)
        return None if method is spatial else svd(layer, positions)

    return factors_of


def resnet20():
    torch.manual_seed(0)
    return resnet(1, 8, 10).eval()


def shrunk(model, method=tucker, shape=(1, 8, 8), level=0.5, by="macs", rank=None, exclude=()):
    return factorized(model, shape, best_of(method), level=level, by=by, rank=rank, exclude=list(exclude))


def replaced(model):
    """Name of every replaced layer and the outputs of all factors but the last."""
    return {
        name: tuple(part.weight.shape[0] for part in module)[:-1]
        for name, module in model.named_modules()
        if name and isinstance(module, nn.Sequential) and len(module) and hasattr(module[0], "weight")
    }


@pytest.mark.parametrize("method", [svd, tucker, spatial])
@pytest.mark.parametrize("level", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("by", ["macs", "params"])
def test_a_budget_is_met_within_one_rank(method, level, by):
    model = resnet20()
    before = {"macs": macs(model, (1, 8, 8))["macs"], "params": sum(p.numel() for p in model.parameters())}
    shrunk(model, method, level=level, by=by)
    after = {"macs": macs(model, (1, 8, 8))["macs"], "params": sum(p.numel() for p in model.parameters())}
    aim = (1 - level) * before[by]
    # The dearest rank: 64x3x3 weights and 64 more, in the first stage at all 64 pixels.
    step = {"params": 64 * 9 + 64, "macs": 64 * (16 * 9 + 16)}[by]
    assert aim - step < after[by] <= aim
    assert all(after[key] < before[key] for key in before)


@pytest.mark.parametrize("make", [vgg, vit, mobilenet])
def test_other_families_lose_half_of_their_macs(make):
    torch.manual_seed(0)
    model = make(1, 8, 10, **({"width": 0.25} if make is not vit else {})).eval()
    before = macs(model, (1, 8, 8))["macs"]
    shrunk(model)
    assert 0.49 < macs(model, (1, 8, 8))["macs"] / before <= 0.5
    assert model(torch.randn(2, 1, 8, 8)).shape == (2, 10)


def test_a_layer_of_low_rank_is_the_one_that_is_replaced():
    model = resnet20()
    with torch.no_grad():
        thin = torch.randn(64, 5) @ torch.randn(5, 576)
        model[10].conv1.weight.copy_(thin.view(64, 64, 3, 3))
    x = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        expected = model(x)
        assert replaced(shrunk(model, svd, level=0.05)) == {"10.conv1": (5,)}
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)


def test_ranks_by_ratio():
    ranks = replaced(shrunk(resnet20(), tucker, by="ratio"))
    assert ranks.pop("15") == (5,)
    assert ranks.pop("6.conv1") == (8, 16)
    assert ranks.pop("9.conv1") == (16, 32)
    widths = [8] * 6 + [16] * 5 + [32] * 5
    names = [name for name in RESNET if name not in ("6.conv1", "9.conv1")]
    assert ranks == {name: (width, width) for name, width in zip(names, widths, strict=True)}  # not the first layer


def test_energy_is_that_of_the_layer():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 40, bias=False)).eval()
    with torch.no_grad():
        u, _, vh = torch.linalg.svd(torch.randn(40, 64), full_matrices=False)
        model[1].weight.copy_(u @ torch.diag(0.5 ** torch.arange(40.0)) @ vh)
    shrunk(model, level=0.25**3 * 1.01, by="energy")  # squares fall by 4: ranks above 3 hold a part 4^-3
    assert replaced(model) == {"1": (3,)}


def test_one_rank_for_all():
    assert set(replaced(shrunk(resnet20(), svd, rank=3)).values()) == {(3,)}
    ranks = replaced(shrunk(resnet20(), tucker, rank=20))
    assert ranks["10.conv1"] == (20, 20)
    assert ranks["7.conv1"] == (20, 20)
    assert "3.conv1" not in ranks  # 16 channels: no smaller rank


def test_a_layer_is_left_alone_where_factors_save_nothing():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 10)).eval()
    assert replaced(shrunk(model, rank=32)) == {}  # 64 x 32 twice is as many as 64 x 64
    assert replaced(shrunk(model, rank=31)) == {"1": (31,)}


def test_strided_layers_are_not_made_slower():
    """A Tucker decomposition's first 1x1 works at the size of the input."""
    model = nn.Sequential(nn.Conv2d(32, 32, 3, stride=4)).eval()
    assert replaced(shrunk(model, tucker, shape=(32, 16, 16), by="ratio", level=0.1)) == {}
    assert replaced(shrunk(model, tucker, shape=(32, 16, 16), by="params", level=0.5)) != {}
    assert macs(model, (32, 16, 16))["macs"] < 16 * 32 * 32 * 9


def test_excluded_and_grouped_layers_stay():
    model = shrunk(resnet20(), level=0.3, exclude=["1?.*", "15"])
    assert {name.partition(".")[0] for name in replaced(model)} <= {str(block) for block in range(3, 10)}
    model = shrunk(mobilenet(1, 8, 10, width=0.25).eval(), by="ratio")
    kept = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(kept) == 13


def test_a_layer_under_two_names_is_replaced_under_both():
    layer = nn.Linear(64, 64)
    model = nn.Sequential(nn.Flatten(), layer, nn.ReLU(), layer).eval()
    shrunk(model, rank=4)
    assert model[1] is model[3]
    assert [tuple(part.weight.shape) for part in model[1]] == [(4, 64), (64, 4)]


def test_a_model_that_is_one_layer():
    model = shrunk(nn.Linear(8, 64).eval(), rank=2)
    assert [tuple(part.weight.shape) for part in model] == [(2, 8), (64, 2)]


def test_twice_is_allowed():
    model = shrunk(shrunk(resnet20(), tucker, level=0.3), spatial, level=0.3)
    kernels = {m.kernel_size for m in model.modules() if isinstance(m, nn.Conv2d)}
    assert {(3, 1), (1, 3)} <= kernels
    assert model(torch.randn(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("method", [svd, tucker, spatial])
def test_the_structure_is_stored_and_made_again(method):
    model = shrunk(resnet20(), method)
    again = apply(resnet20(), changes(model, resnet20())).eval()
    again.load_state_dict(model.state_dict())
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(again(x), model(x))


def test_the_same_weights_give_the_same_factors():
    first, second = (shrunk(resnet20()).state_dict() for _ in range(2))
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_too_much_is_refused():
    with pytest.raises(UserError, match=r"factorize=0.99 by macs: with the smallest factors 0\.\d+ of the macs go"):
        shrunk(resnet20(), level=0.99)
    with pytest.raises(UserError, match=r"factorize=0.5 by params: with the smallest factors 0.000"):
        shrunk(resnet20(), by="params", exclude=["*"])


def test_an_unknown_layer_is_refused():
    with pytest.raises(UserError, match=r"exclude=conv9\*: fits no layer \(layers: 0, 3.conv1"):
        shrunk(resnet20(), exclude=["conv9*"])


def test_the_log_says_what_was_done(caplog):
    with caplog.at_level(logging.INFO):
        model = shrunk(resnet20(), svd)
    number = len(replaced(model))
    assert f"{number} of 20 linear and ungrouped convolution layers factorized" in caplog.text
    before, after = macs(resnet20(), (1, 8, 8))["macs"], macs(model, (1, 8, 8))["macs"]
    assert f": {100 * after / before:.2f}% of the MACs" in caplog.text
