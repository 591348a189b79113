"""Materialized weights are bit-identical, and the grids are found under the right names."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from effdl.models import storage
from effdl.models.resnet import resnet
from effdl.nn.fake_quant import QuantGrid
from effdl.nn.layers import weights
from effdl.nn.mask import Mask
from effdl.nn.parametrizations import materialize_parametrizations, quant_grids


class OnGrid(nn.Module):
    """A quantizer: integers of some bits times a scale."""

    def __init__(self, scale, bits):
        super().__init__()
        self.register_buffer("scale", torch.as_tensor(scale))
        self.bits = bits

    def forward(self, weight):
        low, high = -(1 << self.bits - 1), (1 << self.bits - 1) - 1
        return ((weight / self.scale).round().clamp(low, high) + 0.0) * self.scale  # + 0.0: -0.0 becomes 0.0

    def grid(self):
        return QuantGrid(self.scale, self.bits)


class Halved(nn.Module):
    def forward(self, weight):
        return weight / 2


class Noisy(nn.Module):
    """Draws in training, as a stochastic binarizer does."""

    def forward(self, weight):
        return weight + torch.rand_like(weight) if self.training else weight


def parametrized(model):
    return any(parametrize.is_parametrized(module) for module in model.modules())


# --- materialized


def test_it_is_a_plain_model_with_the_same_bits(bits, network, masked):
    model = network().eval()
    plain_keys = set(model.state_dict())
    masked(model)
    images = torch.randn(4, 1, 4, 4)
    keys, output = list(model.state_dict()), model(images)
    seen = {name: getattr(module, attribute).clone() for name, module, attribute in weights(model)}

    materialized = materialize_parametrizations(model)

    assert set(materialized.state_dict()) == plain_keys
    assert [type(module) for module in materialized.modules()] == [type(module) for module in network().modules()]
    for name, module, attribute in weights(materialized):
        assert torch.equal(bits(getattr(module, attribute)), bits(seen[name]))
        assert isinstance(module.weight, nn.Parameter)
    assert torch.equal(materialized(images), output)
    network().load_state_dict(materialized.state_dict())

    # The original is as it was and shares nothing with the copy.
    assert list(model.state_dict()) == keys
    assert parametrize.is_parametrized(model[0], "weight")
    with torch.no_grad():
        for parameter in materialized.parameters():
            parameter.zero_()
    assert torch.equal(model(images), output)


def test_a_model_without_parametrizations_is_copied(network):
    model = network()
    copied = materialize_parametrizations(model)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), copied.parameters(), strict=True))
    assert not {id(p) for p in model.parameters()} & {id(p) for p in copied.parameters()}


def test_parametrizations_stack(bits, network, masked):
    model = network()
    masks = masked(model)
    for _, module, attribute in weights(model):
        parametrize.register_parametrization(module, attribute, OnGrid(1 / 8, 8))
    more = masked(model, sparsity=0.3, seed=3)
    materialized = materialize_parametrizations(model)
    for (layer, module, _), (_, plain, _) in zip(weights(model), weights(materialized), strict=True):
        weight = module.weight
        assert torch.equal(bits(plain.weight), bits(weight))
        assert (weight[~(masks[layer] & more[layer])] == 0).all()
        assert torch.equal(weight, (weight * 8).round() / 8)
        assert weight.count_nonzero() > 0
    assert set(materialized.state_dict()) == set(network().state_dict())


def test_several_tensors_of_one_module():
    layer = nn.Linear(3, 2)
    plain = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    parametrize.register_parametrization(layer, "weight", Mask(torch.eye(2, 3, dtype=torch.bool)))
    parametrize.register_parametrization(layer, "bias", Halved())
    materialized = materialize_parametrizations(layer)
    assert type(materialized) is nn.Linear
    assert not parametrized(materialized)
    assert torch.equal(materialized.weight, plain["weight"] * torch.eye(2, 3))
    assert torch.equal(materialized.bias, plain["bias"] / 2)
    assert {name for name, _ in materialized.named_parameters()} == {"weight", "bias"}


def test_a_weight_made_of_two_tensors():
    layer = parametrizations.weight_norm(nn.Linear(3, 2))
    materialized = materialize_parametrizations(layer)
    assert torch.equal(materialized.weight, layer.weight)
    assert set(materialized.state_dict()) == {"weight", "bias"}


def test_a_buffer_stays_a_buffer():
    norm = nn.BatchNorm1d(3)
    parametrize.register_parametrization(norm, "running_var", Halved())
    materialized = materialize_parametrizations(norm)
    assert materialized.running_var.tolist() == [0.5, 0.5, 0.5]
    assert set(dict(materialized.named_buffers())) == {"running_mean", "running_var", "num_batches_tracked"}
    assert set(materialized.state_dict()) == set(nn.BatchNorm1d(3).state_dict())


def test_what_draws_in_training_yields_its_evaluated_value():
    layer = nn.Linear(3, 2)
    weight = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, "weight", Noisy())
    assert not torch.equal(layer.train().weight, weight)
    materialized = materialize_parametrizations(layer)
    assert torch.equal(materialized.weight, weight)
    assert materialized.training
    assert layer.training
    assert layer.parametrizations.training


@pytest.mark.parametrize("separate", [False, True])
def test_attention(separate, bits):
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, batch_first=True, **({"kdim": 6, "vdim": 6} if separate else {})).eval()
    names = ["q_proj_weight", "k_proj_weight", "v_proj_weight"] if separate else ["in_proj_weight", "in_proj_bias"]
    for name in names:
        parametrize.register_parametrization(layer, name, OnGrid(0.1, 4))
    parametrize.register_parametrization(layer.out_proj, "weight", OnGrid(0.2, 3))
    materialized = materialize_parametrizations(layer)
    assert type(materialized) is nn.MultiheadAttention
    assert not parametrized(materialized)
    assert set(quant_grids(layer)) == {*names, "out_proj.weight"} <= set(materialized.state_dict())
    query, key = torch.randn(2, 5, 8), torch.randn(2, 3, 6 if separate else 8)
    for name in names:
        assert torch.equal(bits(getattr(materialized, name)), bits(getattr(layer, name)))
    # Without gradients PyTorch takes another, fused, path for plain parameters.
    assert torch.equal(materialized(query, key, key)[0], layer(query, key, key)[0])


def test_a_whole_encoder_layer(masked):
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).eval()
    masked(layer)
    x = torch.randn(2, 5, 8)
    with torch.no_grad():
        assert torch.equal(materialize_parametrizations(layer)(x), layer(x))


def test_a_whole_network_keeps_its_memory_layout(masked):
    model = resnet(3, 32, 10, depth=8).to(memory_format=torch.channels_last).eval()
    masked(model)
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(materialize_parametrizations(model)(images), model(images))


# --- grids


def test_no_grid_without_a_quantizer(network, masked):
    model = network()
    masked(model)
    assert quant_grids(model) == {}


def test_the_root_has_no_prefix():
    layer = nn.Linear(3, 2)
    parametrize.register_parametrization(layer, "weight", OnGrid(0.5, 4))
    parametrize.register_parametrization(layer, "bias", OnGrid(0.25, 8))
    found = quant_grids(layer)
    assert {name: (grid.scale.item(), grid.bits) for name, grid in found.items()} == {
        "weight": (0.5, 4),
        "bias": (0.25, 8),
    }


def test_the_last_grid_on_a_tensor_counts(network):
    model = network()
    for scale, width in ((0.5, 8), (0.25, 2)):
        parametrize.register_parametrization(model[4], "weight", OnGrid(scale, width))
    assert {name: (g.scale.item(), g.bits) for name, g in quant_grids(model).items()} == {"4.weight": (0.25, 2)}


def test_a_layer_used_twice_has_both_names():
    layer = nn.Linear(3, 3)
    parametrize.register_parametrization(layer, "weight", OnGrid(0.5, 4))
    model = nn.Sequential(layer, nn.ReLU(), layer)
    assert set(quant_grids(model)) == {"0.weight", "2.weight"}
    assert set(quant_grids(model)) <= set(materialize_parametrizations(model).state_dict())


@pytest.mark.parametrize("mask_last", [False, True])
def test_mask_and_quantizer_are_stored_as_codes(tmp_path, mask_last, bits, network, masked):
    model = network()
    if not mask_last:
        masked(model)
    for _, module, attribute in weights(model):
        parametrize.register_parametrization(module, attribute, OnGrid(torch.tensor(0.05), 4))
    if mask_last:
        masked(model)
    state = materialize_parametrizations(model).state_dict()
    storage.write(tmp_path / "x", state, {}, quant_grids(model))
    found, _ = storage.read(tmp_path / "x")
    assert all(torch.equal(bits(found[name]), bits(state[name])) for name in ("0.weight", "4.weight"))
    rows = storage.breakdown(tmp_path / "x")
    assert {name: (rows[name]["kind"], rows[name]["bits"]) for name in ("0.weight", "4.weight", "4.bias")} == {
        "0.weight": ("sparse grid", 4),
        "4.weight": ("sparse grid", 4),
        "4.bias": ("dense", 32),
    }
