"""Binary weights with a scale for each output."""

import copy
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

from effdl.compression.quantize.xnor import ScaledBinary, mean_magnitude, xnor
from effdl.measure.layers import per_layer
from effdl.models.convnet import convnet
from effdl.models.mlp import mlp
from effdl.models.resnet import resnet
from effdl.models.structure import apply, changes
from effdl.models.vit import vit
from effdl.nn import quantizers
from effdl.nn.layers import weights
from effdl.nn.parametrizations import materialize_parametrizations, quant_grids
from effdl.nn.quantizers import ActivationSign
from effdl.nn.token_norm import TokenNorm
from effdl.utils.errors import UserError


def test_signs_times_the_mean_magnitude_of_each_output():
    weight = torch.tensor([[0.5, -0.1, 0.3], [-2.0, 0.0, 4.0]])
    found = ScaledBinary(weight)(weight)
    assert found[0].tolist() == pytest.approx([0.3, -0.3, 0.3])
    assert found[1].tolist() == [-3, 0, 3]  # what is pruned does not count


def test_the_scale_is_the_best_there_is():
    weight = torch.randn(1, 200, generator=torch.Generator().manual_seed(0))
    scales = torch.linspace(0, 2, 2001)
    errors = ((weight - scales[:, None] * weight.sign()) ** 2).sum(1)
    assert mean_magnitude(weight).item() == pytest.approx(scales[errors.argmin()].item(), abs=1e-3)


def test_the_gradient_passes_through_the_scale_and_the_sign():
    weight = torch.tensor([[0.5, -0.25, 1.5]], requires_grad=True)
    given = torch.tensor([[1.0, 10.0, 100.0]])
    ScaledBinary(weight)(weight).backward(given)
    mean, size = 0.75, 3
    through_scale = (1 - 10 + 100) / size  # sum of gradient * sign, over the number of weights
    wanted = [through_scale + mean * 1, -through_scale + mean * 10, through_scale + 0]  # |1.5| > 1
    assert weight.grad[0].tolist() == pytest.approx(wanted)


def test_outside_training_the_scale_stays():
    scaled = ScaledBinary(torch.ones(2, 3))
    scaled.eval()
    assert scaled(torch.full((2, 3), -5.0)).eq(-1).all()
    scaled.train()
    assert scaled(torch.full((2, 3), -5.0)).eq(-5).all()
    scaled.eval()
    assert scaled(torch.full((2, 3), 2.0)).eq(5).all()
    assert scaled.grid().scale.tolist() == [[5], [5]]


@pytest.mark.parametrize("make", ["resnet", "mlp"])
def test_a_network_learns(make, dense, trainer, compress):
    model = dense if make == "resnet" else trainer.fit(mlp(1, 8, 10), epochs=2)
    model = compress("xnor", model, trainer, "binary")
    assert trainer.asked[-1] == (4, 1.0, 0)  # half of the run's eight epochs
    assert trainer.accuracy(model) > 0.95


def test_the_grid_is_exact_after_every_update(dense, trainer, compress):
    def exact(model, progress):
        materialized = materialize_parametrizations(model).state_dict()
        found = quant_grids(model)
        assert len(found) == 8
        for name, grid in found.items():
            weight = materialized[name]
            assert (grid.bits, grid.scale.shape) == (1, (len(weight), *[1] * (weight.ndim - 1)))
            assert torch.equal(weight, weight.sign() * grid.scale)
            assert weight.ne(0).all()

    trainer.looks.append(exact)
    model = compress("xnor", dense, trainer, "binary", epochs=1)
    images = trainer.calibration_batches(64)[0][0]
    assert torch.equal(model(images), materialize_parametrizations(model)(images))


def test_pruned_weights_stay_zero(pruned, trainer, compress):
    model, zeros = pruned
    model = compress("xnor", model, trainer, "binary", epochs=2)
    for (_, module, _), zero in zip(weights(model), zeros, strict=True):
        assert module.weight[zero].eq(0).all()
        assert module.weight[~zero].ne(0).all()


def test_first_and_last_may_be_left_alone(dense, trainer, compress):
    model = compress("xnor", dense, trainer, "binary", first_last=False, epochs=0)
    assert [parametrize.is_parametrized(module) for _, module, _ in weights(model)] == [False, *[True] * 6, False]
    with pytest.raises(UserError, match="first_last=false: "):
        compress("xnor", nn.Linear(3, 3), trainer, "binary", first_last=False)


def binarized(model):
    """The names of the layers whose inputs are signs."""
    return [name for name, module in model.named_modules() if hasattr(module, "sign")]


def test_a_norm_and_a_sign_stand_before_every_layer_but_the_first(dense, trainer, compress):
    model = compress("xnor", dense, trainer, "binary", activations=True, epochs=0)
    behind = [name for name, _, _ in weights(dense)]
    assert behind[:2] == ["0", "3.conv1.layer"]
    assert binarized(model) == [name.removesuffix(".layer") for name in behind[1:]]
    seen = {}
    for name in binarized(model):
        parts = model.get_submodule(name)
        kind = nn.BatchNorm1d if isinstance(parts.layer, nn.Linear) else nn.BatchNorm2d
        assert [type(parts.norm), type(parts.sign)] == [kind, ActivationSign]
        parts.layer.register_forward_hook(lambda module, given, output, name=name: seen.update({name: given[0]}))
    model(trainer.calibration_batches(64)[0][0])
    for values in seen.values():
        assert values.unique().tolist() == [-1, 1]
        assert 0.05 < (values == 1).float().mean() < 0.95  # the statistics are there before the training
    assert len(seen) == 7


def test_only_what_is_binarized_gets_signs(dense, trainer, compress):
    model = compress("xnor", dense, trainer, "binary", activations=True, first_last=False, epochs=0)
    rows = per_layer(materialize_parametrizations(model), (1, 8, 8))
    assert [row["activation_bits"] for row in rows] == [32, *[1] * 6, 32]
    assert list(quant_grids(model)) == [f"{row['name']}.weight" for row in rows[1:-1]]


def test_a_layer_computes_the_formula_of_the_paper(dense, trainer, compress):
    """``alpha * (sign(BNorm(x)) conv sign(W))`` (equation 11 without K), and gradients in closed form."""
    model = compress("xnor", dense, trainer, "binary", activations=True, epochs=0)
    parts = model[3].conv1.train()
    weight = parts.layer.parametrizations.weight.original
    x = torch.randn(3, weight.shape[1], 5, 5, requires_grad=True)
    found = parts(x)
    mean, variance = x.detach().mean((0, 2, 3), keepdim=True), x.detach().var((0, 2, 3), correction=0, keepdim=True)
    normalized = (x.detach() - mean) / (variance + parts.norm.eps).sqrt()
    alpha = weight.detach().abs().mean((1, 2, 3))
    wanted = F.conv2d(normalized.sign(), weight.detach().sign(), padding=1) * alpha[:, None, None]
    assert torch.allclose(found, wanted, atol=1e-5)
    given = torch.randn_like(found)
    to_norm = torch.autograd.grad(found, parts.norm.bias, given)[0]
    binary = alpha[:, None, None, None] * weight.detach().sign()
    to_signs = F.conv_transpose2d(given, binary, padding=1)
    assert torch.allclose(to_norm, (to_signs * (normalized.abs() <= 1)).sum((0, 2, 3)), atol=1e-4)


@pytest.mark.parametrize("activations", [False, True])
def test_a_network_learns_with_binary_inputs(activations, dense, trainer, compress):
    model = compress("xnor", dense, trainer, "binary", activations=activations, first_last=False)
    assert trainer.asked[-1] == (4, 1.0, 0)
    assert trainer.accuracy(model) > (0.9 if activations else 0.95)
    grids = quant_grids(model)
    assert {grid.bits for grid in grids.values()} == {1}
    images = trainer.calibration_batches(64)[0][0]
    assert torch.equal(model(images), materialize_parametrizations(model)(images))


def test_it_needs_the_gradient_of_the_sign_and_the_norm(trainer, compress, monkeypatch):
    """Broken variants learn far less."""
    torch.manual_seed(0)
    start = trainer.fit(convnet(1, 8, 10), epochs=2)

    def accuracy():
        torch.manual_seed(0)
        model = compress("xnor", copy.deepcopy(start), trainer, "binary", activations=True)
        return trainer.accuracy(model)

    whole = accuracy()
    with monkeypatch.context() as broken:
        broken.setattr(quantizers, "sign_through", lambda x: (x >= 0).to(x.dtype) * 2 - 1 + 0 * x)
        blind = accuracy()
    with monkeypatch.context() as broken:
        broken.setattr("effdl.compression.quantize.xnor._norm_of", lambda layer, inputs: nn.Identity())
        constant = accuracy()
    assert whole > 0.7
    assert blind < whole - 0.2
    assert constant < 0.3


def test_features_of_tokens_are_normed_in_the_last_dimension(trainer, compress):
    model = compress("xnor", vit(1, 8, 10, dim=16, depth=1, heads=2), trainer, "binary", activations=True, epochs=1)
    kinds = [type(model.get_submodule(name).norm) for name in binarized(model)]
    assert kinds == [*[TokenNorm] * 4, nn.BatchNorm1d]
    rows = per_layer(materialize_parametrizations(model), (1, 8, 8))
    assert [row["activation_bits"] for row in rows] == [32, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("make", [lambda: resnet(1, 8, 10, depth=8), lambda: vit(1, 8, 10, dim=16, depth=1, heads=2)])
def test_it_is_made_again_from_its_description(make, trainer, compress):
    model = materialize_parametrizations(compress("xnor", make(), trainer, "binary", activations=True, epochs=1))
    again = apply(make(), changes(model, make())).eval()
    again.load_state_dict(model.state_dict())
    images = trainer.calibration_batches(64)[0][0]
    assert torch.equal(model(images), again(images))


def test_pruned_weights_stay_zero_behind_signs(pruned, trainer, compress):
    model, zeros = pruned
    model = compress("xnor", model, trainer, "binary", activations=True, epochs=2)
    for (_, module, _), zero in zip(weights(model), zeros, strict=True):
        assert module.weight[zero].eq(0).all()
        assert module.weight[~zero].ne(0).all()


def test_what_signs_cannot_stand_before_is_refused():
    with pytest.raises(UserError, match=r"activations=true .*: the model calls no layer but the first"):
        xnor.check(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), True, (1, 4, 4), True)
    small = mlp(1, 4, 10)
    with pytest.raises(UserError, match=r"activations=true .*: a batch of one image is too small .* layer 4$"):
        xnor.check(small, True, (1, 4, 4), True, batch_size=1)
    xnor.check(small, True, (1, 4, 4), True, batch_size=2)
    xnor.check(small, True, (1, 4, 4), False, batch_size=1)
    xnor.check(nn.Sequential(*(nn.Conv2d(1, 1, 1) for _ in "ab")), True, (1, 4, 4), True, batch_size=1)


def test_a_run_on_the_digits_counts_one_bit_and_reads_back_what_it_stored(effdl):
    quick = ("model=convnet", "epochs=6", "energy.enabled=false", "hydra.run.dir=run")
    code, _, error = effdl(
        "train", *quick, "quantize=binary", "compression=[xnor]", "compression.xnor.activations=true"
    )
    assert code == 0, error
    stage = json.loads(Path("run/result.json").read_text())["stages"][-1]
    first, others = 32 * 25 * 64, 64 * 32 * 25 * 4 + 64 * 200 + 200 * 10
    assert stage["macs"] == first + others
    assert stage["bops"] == first * 1 * 32 + others * 1 * 1
    assert stage["weight_bits"] == 1
    assert stage["activation_bits"] == (64 * 32 + 128 + 64 + 200) / (64 + 128 + 64 + 200)
    weights_and_biases, norms = 32 * 25 + 64 * 32 * 25 + 64 * 200 + 200 * 10 + 306, 2 * (32 + 64 + 200)
    assert stage["params"] == weights_and_biases + norms
    assert stage["latency_ms"] is None
    assert stage["latency_note"] == "no runtime here runs 1-bit weights"
    assert stage["top1"] > 0.6
    code, output, _ = effdl("evaluate", "run")
    assert code == 0
    assert "the same as recorded, to the last digit" in output
