"""Weights and activations of a few bits with learned step sizes."""

import copy
import math

import pytest
import torch

from effdl.compression.quantize.lsq import activation_quantizer, first_step_size
from effdl.measure.layers import per_layer
from effdl.models.resnet import resnet
from effdl.models.structure import apply, changes
from effdl.nn.layers import weights
from effdl.nn.parametrizations import materialize_parametrizations, quant_grids
from effdl.nn.quantizers import ActivationQuantizer
from effdl.utils.errors import UserError


def quantizers(model):
    return [module for module in model.modules() if isinstance(module, ActivationQuantizer)]


def test_step_sizes_begin_at_twice_the_mean_magnitude():
    weight = torch.tensor([[1.0, -3.0], [0.5, 0.0], [0.0, 0.0]])
    assert first_step_size(weight, 7).item() == pytest.approx(2 * 1.5 / math.sqrt(7))
    by_output = first_step_size(weight, 7, (1,))
    assert by_output.flatten().tolist() == pytest.approx([4 / math.sqrt(7), 1 / math.sqrt(7), 1])
    assert by_output.shape == (3, 1)


def test_activations_are_signed_if_some_are_negative():
    signed, unsigned = activation_quantizer(torch.tensor([-1.0, 3.0]), 4), activation_quantizer(torch.ones(5), 4)
    assert (signed.signed, unsigned.signed) == (True, False)
    assert signed.scale.item() == pytest.approx(4 / math.sqrt(7))
    assert unsigned.scale.item() == pytest.approx(2 / math.sqrt(15))


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_a_network_learns_and_stays_on_its_grid(bits, dense, trainer, compress):
    wanted = trainer.accuracy(dense)
    model = compress("lsq", dense, trainer, bits)
    assert trainer.asked == [(4, 0.1, 0)]  # half of the run's eight epochs
    assert trainer.accuracy(model) >= wanted - (0.05 if bits == 2 else 0.01)
    materialized, found = materialize_parametrizations(model), quant_grids(model)
    assert [grid.bits for grid in found.values()] == [8, *[bits] * 6, 8]
    for name, grid in found.items():
        weight = materialized.state_dict()[name]
        codes = (weight / grid.scale).round()
        assert torch.equal(codes * grid.scale, weight)
        assert -(2 ** (grid.bits - 1)) <= codes.min()
        assert codes.max() <= 2 ** (grid.bits - 1) - 1
        assert len(weight.unique()) <= 2**grid.bits
    images = trainer.calibration_batches(64)[0][0]
    assert torch.equal(model(images), materialized(images))


def test_the_inputs_of_layers_have_their_bits(dense, trainer, compress):
    model = compress("lsq", dense, trainer, 4, activation_bits=3, epochs=1)
    assert [(quantizer.bits, quantizer.signed) for quantizer in quantizers(model)] == [
        (8, True),  # images
        *[(3, False)] * 6,  # after a ReLU
        (8, False),
    ]
    rows = per_layer(materialize_parametrizations(model), (1, 8, 8))
    assert [row["activation_bits"] for row in rows] == [8, *[3] * 6, 8]
    assert [row["name"] for row in rows][:2] == ["0.layer", "3.conv1.layer"]
    seen = []
    quantizer = model[3].conv1.quantizer
    quantizer.register_forward_hook(lambda module, arguments, output: seen.append(output))
    model(trainer.calibration_batches(64)[0][0])
    codes = seen[0] / quantizer.scale
    assert set(codes.round().unique().tolist()) == set(range(8))
    assert torch.allclose(codes, codes.round(), atol=1e-5)


def test_activations_and_outer_layers_as_one_likes(dense, trainer, compress):
    other = copy.deepcopy(dense)
    model = compress("lsq", dense, trainer, 3, activation_bits=32, first_last=None, epochs=0)
    assert quantizers(model) == []
    assert {grid.bits for grid in quant_grids(model).values()} == {3}
    same = compress("lsq", other, trainer, 3, first_last=None, per_channel=True, epochs=0)
    assert {quantizer.bits for quantizer in quantizers(same)} == {3}
    for name, grid in quant_grids(same).items():
        weight = materialize_parametrizations(same).state_dict()[name]
        assert grid.scale.shape == (len(weight), *[1] * (weight.ndim - 1))


def test_training_moves_all_step_sizes_and_keeps_them_positive(trainer, compress):
    """Of an untrained model: where the loss is near zero, so are the gradients."""
    torch.manual_seed(0)
    fresh = resnet(1, 8, 10, depth=8, width=0.5)

    def step_sizes(model):
        return {name: p.item() for name, p in model.named_parameters() if name.endswith(("scale", "step_size"))}

    before = step_sizes(compress("lsq", copy.deepcopy(fresh), trainer, 4, epochs=0))
    farthest = dict.fromkeys(before, 0.0)  # in parts of the first; a walk of few steps may end where it began

    def look(model, progress):
        for name, size in step_sizes(model).items():
            assert size > 0, name
            farthest[name] = max(farthest[name], abs(size / before[name] - 1))

    trainer.looks.append(look)
    compress("lsq", fresh, trainer, 4, epochs=1, lr_scale=1.0)
    assert len(farthest) == 16
    for name, moved in farthest.items():
        assert 1e-6 < moved < 0.5, name  # float32 resolves 1e-7


def test_pruned_weights_stay_zero(pruned, trainer, compress):
    model, zeros = pruned
    model = compress("lsq", model, trainer, 4, epochs=2)
    for (_, module, _), zero in zip(weights(model), zeros, strict=True):
        assert module.weight[zero].eq(0).all()
        assert not torch.signbit(module.weight[zero]).any()
        assert module.weight[~zero].ne(0).any()


def test_it_is_made_again_from_its_description(dense, trainer, compress):
    model = materialize_parametrizations(compress("lsq", dense, trainer, 4, epochs=1))
    again = apply(resnet(1, 8, 10, depth=8, width=0.5), changes(model, resnet(1, 8, 10, depth=8, width=0.5))).eval()
    again.load_state_dict(model.state_dict())
    images = trainer.calibration_batches(64)[0][0]
    assert torch.equal(model(images), again(images))


@pytest.mark.parametrize(
    ("key", "value"),
    [("level", 1), ("level", 9), ("activation_bits", 16), ("first_last", 1), ("per_channel", 1), ("lr_scale", -1)],
)
def test_wrong_values_are_refused(key, value, dense, trainer, compress):
    with pytest.raises(UserError, match=rf"compression\.lsq\.{key}={value}: allowed is "):
        compress("lsq", dense, trainer, **{"level": 4, key: value})
