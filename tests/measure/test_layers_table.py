import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.measure.layers import per_layer
from effdl.measure.macs import macs
from effdl.measure.size import count


class Half(nn.Module):
    def forward(self, weight):
        return weight * (torch.arange(weight.numel()) % 2).reshape(weight.shape)


def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10, bias=False))


def test_rows():
    model = small()
    with torch.no_grad():
        model[0].weight[0] = 0
        model[0].bias.fill_(1)
    first, second = per_layer(model, (3, 8, 8))
    assert first == {
        "name": "0",
        "type": "Conv2d",
        "shape": [4, 3, 3, 3],
        "params": 112,
        "params_nonzero": 85,
        "weights": 108,
        "weights_nonzero": 81,
        "weight_sparsity": 0.25,
        "macs": 108 * 36,
        "macs_nonzero": 81 * 36,
        "share_of_params": 112 / 1552,
        "weight_bits": 32,
        "arithmetic_bits": 32,
        "table": 0,
        "activation_bits": 32,
        "inputs": 192,
        "size_bytes": 432,
        "share_of_size": None,
        "norm_params": 0,
        "folded_biases": 4,
    }
    assert (second["name"], second["type"], second["params"], second["macs"]) == ("3", "Linear", 1440, 1440)


@pytest.mark.parametrize("parametrized", [False, True])
def test_columns_add_up(parametrized):
    model = small()
    if parametrized:
        parametrize.register_parametrization(model[0], "weight", Half())
        parametrize.register_parametrization(model[3], "weight", Half())
    rows = per_layer(model, (3, 8, 8))
    totals = {**macs(model, (3, 8, 8)), **count(model)}
    for key in ("params", "params_nonzero", "macs", "macs_nonzero"):
        assert sum(row[key] for row in rows) == totals[key]
    assert sum(row["share_of_params"] for row in rows) == pytest.approx(1)
    assert [row["type"] for row in rows] == ["Conv2d", "Linear"]


def test_resnet18_adds_up():
    from torchvision.models import resnet18

    model = resnet18()
    rows = per_layer(model, (3, 64, 64))
    assert len(rows) == 21
    assert sum(row["macs"] for row in rows) == macs(model, (3, 64, 64))["macs"]
    norms = sum(p.numel() for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters())
    assert sum(row["params"] for row in rows) + norms == count(model)["params"]


def test_tied_layers_are_counted_in_the_first():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
    second.weight = first.weight
    rows = per_layer(nn.Sequential(first, second), (1, 1, 4))
    assert [row["params"] for row in rows] == [20, 0]
    assert [row["macs"] for row in rows] == [16, 16]


def test_attention_rows():
    model = nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True))
    rows = per_layer(model, (5, 2, 4))
    assert [row["name"].split(".", 1)[1] for row in rows] == [
        "self_attn",
        "self_attn.out_proj",
        "linear1",
        "linear2",
    ]
    assert [row["macs"] for row in rows] == [192 * 5, 64 * 5, 128 * 5, 128 * 5]
    assert [row["params"] for row in rows] == [192 + 24, 64 + 8, 128 + 16, 128 + 8]


def test_norms_that_fold_are_those_that_only_read_the_layer():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.BatchNorm2d(3), nn.Flatten())
    model.extend([nn.Linear(108, 5, bias=False), nn.BatchNorm1d(5, affine=False)])
    first, last = per_layer(model, (1, 8, 8))
    assert (first["norm_params"], first["folded_biases"]) == (6, 3)
    assert (last["norm_params"], last["folded_biases"]) == (0, 5)
