"""What can be done to a layer, and what it costs."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from effdl.compression.quantize.lsq import first_step_size
from effdl.compression.sensitivity import analyse
from effdl.nn.fake_quant import bounds, fake_quantize
from effdl.search.choices import (
    CHANGES,
    FLOAT,
    Choice,
    coded,
    codes,
    entropy_bytes,
    families_of,
    least_error_step,
    levels_of,
    stored_step,
    tables,
)


def weight(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_entropy_of_known_frequencies():
    assert entropy_bytes(torch.tensor([0, 1] * 8)) == pytest.approx(16 / 8)
    assert entropy_bytes(torch.zeros(100, dtype=torch.int16)) == 0
    assert entropy_bytes(torch.tensor([0] * 12 + [1] * 4)) == pytest.approx(16 * (0.75 * math.log2(4 / 3) + 0.5) / 8)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_no_other_step_of_the_search_has_a_smaller_error(bits):
    values, (low, high) = weight(64, 9), bounds(bits, signed=True)

    def error(step):
        return float((fake_quantize(values, torch.tensor(step), 0, low, high) - values).square().sum())

    found = float(least_error_step(values, bits))
    assert error(found) <= min(error(found * factor) for factor in (0.25, 0.5, 0.7, 1.4, 2.0, 4.0))
    assert codes(values, bits).abs().max() <= 2 ** (bits - 1)


def test_a_stored_weight_has_the_step_that_its_training_begins_with():
    values = weight(64, 9)
    for bits in (2, 4, 8):
        assert stored_step(values, bits) == first_step_size(values, 2 ** (bits - 1) - 1)
    assert stored_step(values, 8) > 3 * least_error_step(values, 8)
    assert stored_step(values, 7) == least_error_step(values, 7)  # int8, which is not trained


def test_a_choice_counts_what_is_left():
    values = weight(10, 10)
    kept, size = coded(values, Choice(0.9, FLOAT), float_bytes=4.0)
    share = -(0.1 * math.log2(0.1) + 0.9 * math.log2(0.9))
    assert (kept, size) == (10, pytest.approx(100 * share / 8 + 40))
    kept, size = coded(values, Choice(0.9, 4), float_bytes=4.0)
    assert kept == 10  # the largest, of which none is rounded to zero
    assert size < 100 * share / 8 + 10 * 4 / 8


def test_tables_add_what_zeros_and_bits_lose_and_never_fall():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    options = [Choice(0.0, FLOAT), Choice(0.5, FLOAT), Choice(0.9, 2), Choice(0.0, 4)]
    lost = {("0", "prune", 0.5): 0.3, ("0", "prune", 0.9): 0.2, ("0", "quantize", 4): 0.1, ("0", "quantize", 2): 0.4}
    rows = [
        {"layer": layer, "change": change, "level": level, "loss": 1.0 + value}
        for (_, change, level), value in lost.items()
        for layer in ("0", "2")
    ]
    first, last = tables(model, 1.0, rows, options, 4.0)
    assert (first.name, first.numel, last.numel) == ("0", 36, 48)
    np.testing.assert_allclose(first.losses, [0.0, 0.3, 0.7, 0.1])  # 0.9 of zeros cannot cost less than 0.5
    assert first.nonzero[:2].tolist() == [36, 18]
    assert levels_of(options) == {"prune": [0.5, 0.9], "quantize": [2, 4]}


def test_what_is_analysed_is_what_a_choice_does():
    torch.manual_seed(0)
    model, seen = nn.Sequential(nn.Linear(8, 4)), []
    before = model[0].weight.detach().clone()

    def measure(changed):
        seen.append(changed[0].weight.detach().clone())
        return {"loss": 0.0}

    list(analyse(model, measure, {"prune": [0.5], "quantize": [3]}, [], CHANGES))
    assert int((seen[0] == 0).sum()) == 16
    steps = seen[1] / least_error_step(before, 3)
    torch.testing.assert_close(steps, steps.round())
    assert steps.unique().numel() > 4
    assert torch.equal(model[0].weight, before)


def test_what_a_goal_lets_layers_be():
    [mixed], [timed], same = (
        families_of(keys, "eager") for keys in (["top1"], ["latency_ms", "course_score"], ["course_score"])
    )
    assert {option.bits for option in mixed.options} == {2, 3, 4, 5, 6, 8, FLOAT}
    assert {option.bits for option in timed.options} == {timed.activations} == {FLOAT}
    assert [{option.bits for option in family.options} for family in same] == [{f.activations} for f in same]
    assert len(same) == 6
    four, eight = families_of(["micronet_score"], "eager")
    assert (four.activations, eight.activations) == (4, 8)
    assert four.options == eight.options
    assert {option.bits for option in four.options} == {2, 3, 4, 5, 6, 8}
    assert families_of(["top1"], "onnx") == [mixed]
    floats, integers = families_of(["latency_ms"], "onnx")
    assert floats == timed
    assert (integers.int8, integers.activations, {option.bits for option in integers.options}) == (True, 8, {7})
