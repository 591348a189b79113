import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from effdl.measure.macs import macs


class Mask(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight):
        return weight * self.mask


class Product(nn.Module):
    """A parametrization that multiplies matrices: its arithmetic is not the model's."""

    def forward(self, weight):
        return weight @ torch.eye(weight.shape[1])


class Attention(nn.Module):
    def __init__(self, width=8, heads=2):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x):  # (n, C, H, W) -> tokens (n, H*W, C)
        tokens = x.flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "vit_b_16"])
def test_torchvision_figures(name):
    from torchvision import models

    documented = next(iter(models.get_model_weights(name))).meta["_ops"]  # GMACs at 224 x 224
    assert macs(models.get_model(name), (3, 224, 224))["macs"] == pytest.approx(1e9 * documented, rel=0.01)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(6, 8, 3, padding=1), 8 * 6 * 9 * 100),
        (nn.Conv2d(6, 8, 3, stride=2), 8 * 6 * 9 * 16),
        (nn.Conv2d(6, 12, (3, 1), groups=3), 12 * 2 * 3 * 8 * 10),
        (nn.Conv2d(6, 6, 5, groups=6, dilation=2), 6 * 25 * 4),
        (nn.ConvTranspose2d(6, 4, 2, stride=2), 6 * 4 * 4 * 100),
        (nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2), 6 * 2 * 4 * 100),
        (nn.Linear(10, 7), 10 * 7 * 60),
    ],
)
def test_closed_formulas_exact(layer, expected):
    assert macs(layer, (6, 10, 10)) == {"macs": expected, "macs_nonzero": expected}
    with torch.no_grad():
        layer.weight.view(-1)[::2] = 0  # half of them
    assert macs(layer, (6, 10, 10)) == {"macs": expected, "macs_nonzero": expected // 2}
    with torch.no_grad():
        layer.weight.zero_()
    assert macs(layer, (6, 10, 10)) == {"macs": expected, "macs_nonzero": 0}


def test_nonzero_weighs_each_layer_by_its_use():
    conv = nn.Conv2d(2, 4, 3, padding=1, bias=False)  # each weight is used at 8 x 8 positions
    model = nn.Sequential(conv, nn.Flatten(), nn.Linear(256, 5))
    with torch.no_grad():
        conv.weight.view(-1)[:10] = 0
        model[2].weight.view(-1)[:7] = 0
    total = 72 * 64 + 1280
    assert macs(model, (2, 8, 8)) == {"macs": total, "macs_nonzero": total - 10 * 64 - 7}


def test_layer_used_twice_counts_twice():
    conv = nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        conv.weight.view(-1)[0] = 0
    assert macs(nn.Sequential(conv, conv), (3, 4, 4)) == {"macs": 2 * 9 * 16, "macs_nonzero": 2 * 8 * 16}


def test_parametrized_as_materialized():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 10))
    parametrize.register_parametrization(
        model[0], "weight", Mask((torch.arange(108) % 4 == 0).reshape(4, 3, 3, 3).float())
    )
    parametrize.register_parametrization(model[2], "weight", Product())
    parametrized = macs(model, (3, 8, 8))
    assert parametrized == {"macs": 108 * 36 + 1440, "macs_nonzero": 27 * 36 + 1440}
    parametrize.remove_parametrizations(model[0], "weight")
    parametrize.remove_parametrizations(model[2], "weight")
    assert parametrized == macs(model, (3, 8, 8))


@pytest.mark.parametrize("training", [True, False])
def test_attention_products_are_included(training):
    projections, products = 4 * 64 * 12, 2 * 12 * 12 * 8  # 12 tokens of width 8
    assert macs(Attention().train(training), (8, 3, 4))["macs"] == projections + products
    encoder = nn.TransformerEncoderLayer(8, 2, dim_feedforward=32, batch_first=True)
    model = nn.Sequential(nn.Flatten(2), encoder).train(training)  # 5 tokens of width 8
    assert macs(model, (5, 2, 4))["macs"] == (4 * 64 + 2 * 8 * 32) * 5 + 2 * 5 * 5 * 8


def test_attention_projections_with_zeros():
    model = Attention()
    with torch.no_grad():
        model.attention.in_proj_weight[:8] = 0  # the query's 64
        model.attention.out_proj.weight[0] = 0  # 8
    result = macs(model, (8, 3, 4))
    assert result["macs"] - result["macs_nonzero"] == (64 + 8) * 12


def test_cross_attention_rows():
    class Cross(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 1, batch_first=True)

        def forward(self, x):  # 3 queries, 5 keys and values
            return self.attention(x[0, :, :3], key=x[0, :, 3:], value=x[0, :, 3:])[0]

    model = Cross()
    total = 64 * (3 + 5 + 5 + 3) + 2 * 3 * 5 * 8
    assert macs(model, (2, 8, 8))["macs"] == 2 * total
    with torch.no_grad():
        model.attention.in_proj_weight[8:] = 0
    assert macs(model, (2, 8, 8))["macs_nonzero"] == 2 * (total - 64 * 10)


def test_fused_attention_is_counted():
    class Fused(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x)

    assert macs(Fused(), (2, 6, 4))["macs"] == 2 * 2 * 6 * 6 * 4


def test_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    macs(model, (3, 8, 8))
    assert [module.training for module in model] == [True, False, True]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.backends.mha.get_fastpath_enabled()


def test_transformed_weights_and_what_is_not_counted_are_named(caplog):
    deform_conv2d = pytest.importorskip("torchvision.ops").deform_conv2d

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.standardized, self.deformed = nn.Conv2d(1, 4, 3, bias=False), nn.Parameter(torch.ones(2, 4, 3, 3))

        def forward(self, x):
            weight = self.standardized.weight
            x = F.conv2d(x, weight - weight.mean((1, 2, 3), keepdim=True))
            return deform_conv2d(x, torch.zeros(1, 18, 4, 4), self.deformed)

    model = Own()
    with torch.no_grad():
        model.standardized.weight[:, :, 1:] = 0
    assert macs(model, (1, 8, 8)) == {"macs": 36 * 36, "macs_nonzero": 36 * 36}
    first, second = (record.getMessage() for record in caplog.records)
    assert first == "MACs: products of these parameters are not counted: deformed (torchvision.deform_conv2d.default)"
    assert "changes the weights of 1 of 1 layers before it multiplies them (standardized, ...)" in second
