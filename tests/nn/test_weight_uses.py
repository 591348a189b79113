"""Products of weights, counted by hand and by PyTorch's own counter."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from effdl.nn.weight_uses import Use, count_products


def called(function, *parameters):
    """A module that computes a function of its input and its parameters."""

    class Made(nn.Module):
        def __init__(self):
            super().__init__()
            for number, parameter in enumerate(parameters):
                setattr(self, f"p{number}", parameter)

        def forward(self, x):
            return function(x, *(getattr(self, f"p{number}") for number in range(len(parameters))))

    return Made().eval()


@pytest.mark.parametrize(
    ("layer", "shape", "times"),
    [
        (nn.Conv2d(6, 4, 3, stride=(2, 1)), (1, 6, 9, 8), 4 * 6),
        (nn.Conv2d(6, 4, 3, groups=2), (2, 6, 5, 5), 18),
        (nn.Conv1d(2, 3, 4), (1, 2, 10), 7),
        (nn.ConvTranspose2d(6, 4, 2, stride=2), (1, 6, 5, 5), 25),
        (nn.Linear(10, 7), (2, 3, 10), 6),
    ],
)
def test_each_element_is_multiplied_once_per_position(layer, shape, times):
    with torch.no_grad():
        layer.weight.view(-1)[:5] = 0
    size = layer.weight.numel()
    found = count_products(layer.eval(), torch.zeros(shape))
    inputs = torch.zeros(shape).numel()
    assert found.uses == {(layer, "weight"): Use(size * times, (size - 5) * times, inputs, 32 * inputs)}
    assert (found.macs, found.macs_nonzero) == (size * times, (size - 5) * times)


def test_attention_is_counted_for_queries_keys_and_values():
    model = called(lambda x, attention: attention(x[:, :3], x[:, 3:], value=x[:, 3:])[0], nn.MultiheadAttention(8, 1))
    model.p0.batch_first = True
    found = count_products(model, torch.zeros(2, 8, 8))
    assert found.uses[model.p0, "in_proj_weight"].macs == 64 * (6 + 10 + 10)
    assert found.uses[model.p0.out_proj, "weight"].macs == 64 * 6
    assert found.macs == 64 * (6 + 10 + 10 + 6) + 2 * 2 * 3 * 5 * 8


@pytest.mark.parametrize(
    ("function", "macs"),
    [
        (lambda x, layer: layer(input=layer(x)), 2 * 3 * 16),
        (lambda x, layer: F.linear(x, layer.weight), 3 * 16),
        (lambda x, layer: x @ layer.weight, 3 * 16),
        (lambda x, layer: layer.weight @ x.T, 3 * 16),
        (lambda x, layer: torch.einsum("nc,dc->nd", x, layer.weight), 3 * 16),
        (lambda x, layer: torch.matmul(x.view(3, 1, 1, 4), layer.weight), 3 * 16),
        (lambda x, layer: torch.bmm(x[:, None], layer.weight.expand(3, 4, 4)), 3 * 16),
        (lambda x, layer: layer.weight @ x[0], 16),
        (lambda x, layer: F.conv1d(x.T[None], layer.weight[:, :, None]), 3 * 16),
        (lambda x, layer: F.linear(x, layer.weight.clone().contiguous()), 3 * 16),
    ],
)
def test_weights_count_however_they_are_read(function, macs):
    model = called(function, nn.Linear(4, 4))
    with torch.no_grad():
        model.p0.weight.zero_().fill_diagonal_(1)
    found = count_products(model, torch.ones(3, 4))
    assert (found.macs, found.macs_nonzero) == (macs, macs // 4)
    use = found.uses[model.p0, "weight"]
    assert (use.macs, use.macs_nonzero, use.changed) == (macs, macs // 4, False)


def test_of_weights_that_are_transformed_what_is_multiplied_counts():
    def standardized(x, layer):
        weight = layer.weight - layer.weight.mean(1, keepdim=True)
        return F.linear(x, weight / weight.std(1, keepdim=True))

    model = called(standardized, nn.Linear(4, 4))
    with torch.no_grad():
        model.p0.weight[:, 1:] = 0
    found = count_products(model, torch.ones(3, 4))
    assert (found.macs, found.macs_nonzero) == (48, 48)  # no stored zero is one when it is multiplied
    assert found.uses == {(model.p0, "weight"): Use(48, 48, 12, 32 * 12, changed=True)}


def test_a_weight_of_several_tensors_belongs_to_its_layer():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    with torch.no_grad():
        layer.parametrizations.weight.original1[:, :2] = 0
    found = count_products(layer.eval(), torch.ones(3, 4))
    assert (found.uses[layer, "weight"].macs, found.macs_nonzero) == (48, 24)


def test_recurrent_bilinear_and_other_parameters_count():
    recurrent, bilinear = nn.LSTM(8, 16, batch_first=True), nn.Bilinear(16, 16, 4)
    model = called(
        lambda x, lstm, bilinear, matrix: bilinear(*[lstm(x)[0][:, -1]] * 2) @ matrix,
        recurrent,
        bilinear,
        nn.Parameter(torch.eye(4)),
    )
    found = count_products(model, torch.ones(2, 5, 8))
    lstm = 2 * 5 * 4 * 16 * (8 + 16)
    assert found.macs == lstm + 2 * 4 * 16 * 16 + 2 * 16
    assert found.macs_nonzero == found.macs - 2 * 12
    assert found.uses == found.uncounted == {}


def test_operations_that_cannot_be_counted_are_named():
    deform = pytest.importorskip("torchvision.ops")
    model = called(
        lambda x, w: deform.deform_conv2d(x, torch.zeros(1, 18, 3, 3), w), nn.Parameter(torch.ones(2, 1, 3, 3))
    )
    found = count_products(model, torch.ones(1, 1, 5, 5))
    assert (found.macs, found.uncounted) == (0, {"p0": "torchvision.deform_conv2d.default"})


def test_what_adds_or_normalizes_is_not_named():
    model = called(
        lambda x, norm, table, scale: torch.cat([norm(x) + table, table]) * scale,
        nn.LayerNorm([2, 4]),
        nn.Parameter(torch.ones(1, 2, 4)),
        nn.Parameter(torch.ones(1, 2, 4)),
    )
    assert count_products(model, torch.ones(1, 2, 4)).uncounted == {}


def test_tied_layers_have_their_own_products():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    found = count_products(nn.Sequential(first, second).eval(), torch.ones(3, 4))
    assert [use.macs for use in found.uses.values()] == [48, 48]
    assert list(found.uses) == [(first, "weight"), (second, "weight")]


def test_parameters_may_share_their_memory():
    memory = torch.ones(32)
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    first.weight, second.weight = (nn.Parameter(part.view(4, 4)) for part in memory.split(16))
    with torch.no_grad():
        second.weight[0] = 0
    found = count_products(nn.Sequential(first, second).eval(), torch.ones(3, 4))
    assert [use.macs_nonzero for use in found.uses.values()] == [48, 36]


@pytest.mark.parametrize("name", ["swin_t", "regnet_y_400mf", "maxvit_t"])
def test_the_total_is_that_of_the_reference(name):
    from torchvision import models

    model, images = models.get_model(name).eval().requires_grad_(False), torch.zeros(1, 3, 224, 224)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            FlopCounterMode(display=False) as counter,
            torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
        ):
            model(images)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    assert count_products(model, images).macs == counter.get_total_flops() // 2


def test_every_weight_of_a_swin_transformer_is_used():
    from torchvision.models import swin_t

    model = swin_t(num_classes=10).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.weight.zero_()
    found = count_products(model, torch.zeros(1, 3, 32, 32))
    assert all(use.macs > 0 == use.macs_nonzero for use in found.uses.values())
    layers = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    assert len(found.uses) == len(layers)


def test_inputs_that_require_gradients_inside_are_counted():
    token = nn.Parameter(torch.ones(1, 4))
    model = called(lambda x, layer, token: layer(token).sum() + x.sum(), nn.Sequential(nn.Linear(4, 4)), token)
    assert count_products(model, torch.ones(1, 4)).macs == 16


def test_no_hook_is_left_after_an_error():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(3, 4)).eval()
    with pytest.raises(RuntimeError):
        count_products(model, torch.zeros(1, 4))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.backends.mha.get_fastpath_enabled()
