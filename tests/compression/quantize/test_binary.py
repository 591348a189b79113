"""BinaryConnect."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.compression.quantize.binary import Binary, check_layers, hard_sigmoid, inner_weights, lr_factor, to_master
from effdl.data.source import Images
from effdl.models.resnet import resnet
from effdl.nn.hooks import forward_hooks
from effdl.nn.layers import weights
from effdl.nn.parametrizations import materialize_parametrizations, quant_grids
from effdl.training.optimizers import sgd
from effdl.utils.errors import UserError


def masters(model):
    return [getattr(module.parametrizations, name).original for _, module, name in weights(model)]


def test_the_signs_are_the_weights_and_zeros_stay():
    weight = torch.tensor([0.3, -0.001, 0.0, 1.0, -1.0, -0.0])
    assert Binary(False)(weight).tolist() == [1, -1, 0, 1, -1, 0]


def test_the_gradient_passes_the_sign_times_the_factor():
    weight = torch.tensor([0.3, -0.5, 1.0], requires_grad=True)
    Binary(False, factor=7.0)(weight).backward(torch.tensor([1.0, -2.0, 3.0]))
    assert weight.grad.tolist() == [7, -14, 21]


def test_the_hard_sigmoid():
    assert hard_sigmoid(torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0])).tolist() == [0, 0, 0.25, 0.5, 0.75, 1, 1]


def test_draws_have_their_probability_in_training_only():
    torch.manual_seed(0)
    weight = torch.tensor([-1.0, -0.5, 0.2, 1.0, 0.0])
    binarizer = Binary(stochastic=True)
    draws = torch.stack([binarizer(weight) for _ in range(4000)])
    assert draws[:, :4].abs().eq(1).all()
    assert draws[:, 4].eq(0).all()
    frequency = (draws[:, :4] == 1).double().mean(0)
    assert frequency[[0, 3]].tolist() == [0, 1]
    assert frequency[[1, 2]].tolist() == pytest.approx([0.25, 0.6], abs=0.03)  # four standard deviations
    state = torch.get_rng_state()
    assert binarizer.eval()(weight).tolist() == [-1, -1, 1, 1, 0]
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("shape", [(30, 20), (16, 8, 3, 3), (5, 4, 7)])
def test_learning_rates_follow_glorot(shape):
    weight = torch.empty(shape)
    nn.init.xavier_uniform_(weight)  # between -sqrt(6 / fans) and that
    fans = nn.init._calculate_fan_in_and_fan_out(weight)
    assert lr_factor(weight) == pytest.approx(sum(fans) / 1.5)
    assert lr_factor(weight) == pytest.approx(4 / weight.abs().max().item() ** 2, rel=0.05)


def test_of_groups_each_counts_for_itself():
    depthwise, one = nn.Conv2d(8, 8, 3, groups=8).weight, nn.Conv2d(1, 1, 3).weight
    assert lr_factor(depthwise, 8) == lr_factor(one)


def test_masters_have_magnitudes_around_one_and_are_clipped():
    weight = torch.tensor([0.1, -0.3, 0.2, 0.0])
    to_master(weight, weight.clone())
    assert weight.tolist() == pytest.approx([0.5, -1.0, 1.0, 0.0])
    zeros = torch.zeros(3)
    to_master(zeros, zeros.clone())
    assert zeros.tolist() == [0, 0, 0]


def test_one_step_of_training_is_that_of_the_paper(compress, make_trainer, make_data):
    """Algorithm 1: the gradient at the binary weights moves the real ones, which are clipped."""
    image = Images(torch.tensor([[[[1, 2]]]], dtype=torch.uint8), torch.tensor([0]))
    data = replace(make_data(image), mean=(0.0,), std=(1.0,))
    plain = partial(sgd, lr=0.1 / 0.03, momentum=0.0, nesterov=False, weight_decay=0.0)
    trainer = make_trainer(data, batches=1, batch_size=1, optimizer=plain, loss=lambda logits, _: logits.sum())
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[-0.1, 0.3]]))  # mean magnitude 0.2
        model[3].weight.fill_(0.7)
    model = compress("binary", model, trainer, "binary", epochs=1)
    assert trainer.asked == [(1, 0.03, 0)]
    # Binary: 1 * relu(-1 * 1 + 1 * 2) = 1. Gradients: [1, 2] times (2 + 1) / 1.5, and 1 times (1 + 1) / 1.5.
    assert masters(model)[0].tolist()[0] == pytest.approx([-0.5 - 0.1 * 1 * 2, 1 - 0.1 * 2 * 2])
    assert masters(model)[1].item() == pytest.approx(1 - 0.1 * 4 / 3)


@pytest.mark.parametrize("stochastic", [False, True])
def test_a_network_learns_with_one_bit(stochastic, dense, trainer, compress):
    worst = []

    def look(model, progress):
        worst.append(max(float(master.abs().max()) for master in masters(model)))

    trainer.looks.append(look)
    model = compress("binary", dense, trainer, "binary", stochastic=stochastic)
    assert trainer.asked == [(8, 0.03, 0)]  # the run's own number of epochs
    assert max(worst) == 1.0
    for _, module, name in weights(model):
        assert getattr(module, name).unique().tolist() == [-1, 1]
    assert trainer.accuracy(model) > 0.95


def test_norms_of_a_low_momentum_take_the_new_scale(dense, trainer, compress):
    """With the statistics of weights of another magnitude the output of every layer would be that times larger."""
    norms = [module for module in dense.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 0.0003
    model = compress("binary", dense, trainer, "binary", epochs=1)
    assert {norm.momentum for norm in norms} == {0.0003}
    outputs = []
    with forward_hooks(norms, lambda module, inputs, output: outputs.append(output)), torch.no_grad():
        model.eval()(trainer.calibration_batches(256, 256)[0][0])
    for norm, output in zip(norms, outputs, strict=True):
        normalized = (output - norm.bias[:, None, None]) / norm.weight[:, None, None]
        assert 0.2 < normalized.std() < 5


def test_first_and_last_may_be_left_alone(dense, trainer, compress):
    model = compress("binary", dense, trainer, "binary", first_last=False, epochs=0)
    binarized = [parametrize.is_parametrized(module) for _, module, _ in weights(model)]
    assert binarized == [False, *[True] * 6, False]


@pytest.mark.parametrize(
    ("name", "level", "ema", "keys"),
    [
        ("binary", "binary", None, {"stochastic": True}),
        ("binary", "binary", 0.9, {}),
        ("xnor", "binary", 0.9, {}),
        ("ternary", "ternary", 0.9, {}),
    ],
)
def test_norms_take_the_statistics_of_the_weights_that_are_kept(name, level, ema, keys, dense, trainer, compress):
    trainer.recipe = replace(trainer.recipe, ema=ema)
    model = compress(name, dense, trainer, level, epochs=1, **keys)
    first = materialize_parametrizations(model)[0]
    with torch.no_grad():
        batches = [first(images) for images, _ in trainer.calibration_batches(1024, 128)]
    means = torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0)
    variances = torch.stack([batch.var((0, 2, 3)) for batch in batches]).mean(0)
    assert torch.allclose(model[1].running_mean, means, atol=1e-5)
    assert torch.allclose(model[1].running_var, variances, rtol=1e-4)
    assert model[1].momentum == 0.1
    assert not model.training


def test_the_grid_is_exact_and_the_permanent_model_computes_the_same(dense, trainer, compress):
    model = compress("binary", dense, trainer, "binary", epochs=1)
    materialized = materialize_parametrizations(model)
    found = quant_grids(model)
    assert len(found) == 8
    for name, grid in found.items():
        assert (grid.bits, grid.scale.item()) == (1, 1)
        assert materialized.state_dict()[name].abs().eq(1).all()
    images = trainer.calibration_batches(64)[0][0]
    assert torch.equal(model(images), materialized(images))


def test_pruned_weights_stay_zero(pruned, trainer, compress):
    model, zeros = pruned
    model = compress("binary", model, trainer, "binary", epochs=2)
    for (_, module, _), zero in zip(weights(model), zeros, strict=True):
        assert module.weight[zero].eq(0).all()
        assert module.weight[~zero].abs().eq(1).all()


def test_nothing_to_binarize_is_refused():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    assert len(inner_weights(model, first_last=True)) == 2
    check_layers(model, first_last=True)
    with pytest.raises(UserError, match="first_last=false: "):
        check_layers(model, first_last=False)


@pytest.mark.parametrize(("key", "value"), [("level", "ternary"), ("stochastic", 1), ("lr_scale", 0), ("epochs", -1)])
def test_wrong_values_are_refused(key, value, trainer, compress):
    with pytest.raises(UserError, match=rf"compression\.binary\.{key}={value}: allowed is "):
        compress("binary", resnet(1, 8, 10, depth=8), trainer, **{"level": "binary", key: value})
