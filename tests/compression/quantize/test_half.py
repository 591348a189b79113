"""16-bit floating point."""

import pytest
import torch
from torch.nn.utils import parametrize

from effdl.nn.mask import Mask
from effdl.nn.parametrizations import materialize_parametrizations
from effdl.utils.errors import UserError

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


@pytest.mark.parametrize("level", DTYPES)
def test_every_value_is_rounded_and_the_logits_stay_close(level, dense, trainer, compress):
    before = {name: tensor.clone() for name, tensor in dense.state_dict().items()}
    images = trainer.calibration_batches(500)[0][0]
    with torch.no_grad():
        wanted = dense(images)
        model = compress("half", dense, trainer, level)
        logits = model(images.to(DTYPES[level]))
    for name, tensor in model.state_dict().items():
        if before[name].is_floating_point():
            assert torch.equal(tensor, before[name].to(DTYPES[level])), name
        else:
            assert torch.equal(tensor, before[name])
    assert logits.dtype == DTYPES[level]
    digits = {"fp16": 11, "bf16": 8}[level]
    assert (logits.float() - wanted).abs().max() < 8 * wanted.abs().max() / 2**digits
    assert not trainer.asked


def test_masks_stay(dense, trainer, compress):
    parametrize.register_parametrization(dense[0], "weight", Mask(dense[0].weight > 0))
    zeros = dense[0].weight == 0
    model = materialize_parametrizations(compress("half", dense, trainer, "fp16"))
    assert model[0].weight.dtype == torch.float16
    assert torch.equal(model[0].weight == 0, zeros)


def test_what_does_not_fit_is_named(dense, trainer, compress):
    with torch.no_grad():
        dense[1].running_var[3] = 70_000
    with pytest.raises(UserError, match=r"quantize=fp16: 1\.running_var has values beyond its range"):
        compress("half", dense, trainer, "fp16")


def test_activations_that_do_not_fit_are_named(dense, trainer, compress):
    with torch.no_grad():
        dense[-1].weight.mul_(60_000 / dense[-1].weight.abs().max())
    with pytest.raises(UserError, match=r"quantize=fp16: the logits .* not finite: activations exceed 65504; .* bf16"):
        compress("half", dense, trainer, "fp16")


def test_bfloat16_has_the_range_of_float32(dense, trainer, compress):
    with torch.no_grad():
        dense[1].running_var[3] = 1e30
    assert compress("half", dense, trainer, "bf16")[1].running_var[3] == torch.tensor(1e30).bfloat16()


@pytest.mark.parametrize("level", ["int8", 16])
def test_other_levels_are_refused(level, dense, trainer, compress):
    with pytest.raises(UserError, match=f"level={level}: allowed is one of fp16, bf16"):
        compress("half", dense, trainer, level)
