"""Binary weights with a scale for each output."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.compression.quantize.xnor import ScaledBinary, mean_magnitude
from effdl.models.mlp import mlp
from effdl.nn.layers import weights
from effdl.nn.parametrizations import materialize_parametrizations, quant_grids
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
