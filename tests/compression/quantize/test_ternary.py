"""Ternary weights."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.compression.quantize.ternary import Ternary, ternary_codes, ternary_scale
from effdl.nn.layers import weights
from effdl.nn.parametrizations import materialize_parametrizations, quant_grids
from effdl.utils.errors import UserError


def test_large_weights_keep_their_sign():
    weight = torch.tensor([[0.8, -0.1, 0.3], [-1.2, 0.0, 0.6]])  # mean magnitude of the five: 0.6, threshold 0.42
    codes = ternary_codes(weight)
    assert codes.tolist() == [[1, 0, 0], [-1, 0, 1]]
    assert ternary_scale(weight, codes).item() == pytest.approx((0.8 + 1.2 + 0.6) / 3)
    assert not torch.signbit(codes[codes == 0]).any()


@pytest.mark.parametrize("draw", [torch.randn, torch.rand])
def test_the_threshold_is_close_to_the_best_there_is(draw):
    weight = draw(2000, generator=torch.Generator().manual_seed(0)) * 0.05

    def error(codes):
        return float(((weight - ternary_scale(weight, codes) * codes) ** 2).sum())

    best = min(error(torch.where(weight.abs() > t, weight.sign(), 0.0)) for t in weight.abs().sort().values[:-1])
    assert error(ternary_codes(weight)) <= 1.02 * best


def test_the_gradient_is_that_of_the_identity():
    weight = torch.tensor([[0.8, -0.1, -1.2]], requires_grad=True)
    Ternary(weight)(weight).backward(torch.tensor([[1.0, 2.0, 3.0]]))
    assert weight.grad.tolist() == [[1, 2, 3]]


def test_outside_training_the_scale_stays():
    ternary = Ternary(torch.ones(2, 3)).eval()
    assert ternary(torch.full((2, 3), -5.0)).eq(-1).all()
    assert ternary.train()(torch.full((2, 3), -5.0)).eq(-5).all()
    assert ternary.eval()(torch.full((2, 3), 2.0)).eq(5).all()
    assert ternary.grid().scale.item() == 5


def test_a_network_learns_and_stays_on_its_grid(dense, trainer, compress):
    wanted = trainer.accuracy(dense)

    def exact(model, progress):
        materialized = materialize_parametrizations(model).state_dict()
        found = quant_grids(model)
        assert len(found) == 8
        for name, grid in found.items():
            assert (grid.bits, grid.scale.shape) == (2, ())
            assert torch.equal(materialized[name], materialized[name].sign() * grid.scale)
            assert materialized[name].unique().numel() == 3

    trainer.looks.append(exact)
    model = compress("ternary", dense, trainer, "ternary")
    assert trainer.asked == [(4, 0.3, 0)]  # half of the run's eight epochs
    assert trainer.accuracy(model) >= wanted - 0.02
    images = trainer.calibration_batches(64)[0][0]
    assert torch.equal(model(images), materialize_parametrizations(model)(images))


def test_pruned_weights_stay_zero(pruned, trainer, compress):
    model, zeros = pruned
    model = compress("ternary", model, trainer, "ternary", epochs=2)
    for (_, module, _), zero in zip(weights(model), zeros, strict=True):
        assert module.weight[zero].eq(0).all()
        assert module.weight[~zero].ne(0).double().mean() > 0.5


def test_first_and_last_may_be_left_alone(dense, trainer, compress):
    model = compress("ternary", dense, trainer, "ternary", first_last=False, epochs=0)
    assert [parametrize.is_parametrized(module) for _, module, _ in weights(model)] == [False, *[True] * 6, False]
    with pytest.raises(UserError, match="first_last=false: "):
        compress("ternary", nn.Linear(3, 3), trainer, "ternary", first_last=False)


def test_a_layer_of_zeros_stays_one():
    assert Ternary(torch.zeros(3, 4))(torch.zeros(3, 4)).eq(0).all()
