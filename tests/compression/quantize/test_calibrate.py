"""Ranges of activations."""

import math

import pytest
import torch
from torch import nn

from effdl.compression.quantize.calibrate import (
    BINS,
    Histogram,
    absolute,
    affine,
    calibrate,
    divergence,
    entropy_range,
    mse_range,
    percentile_range,
    squared_error,
)
from effdl.nn.quantizers import ActivationQuantizer
from effdl.utils.errors import RunError


def histogram(x):
    low, high = min(0.0, x.min().item()), max(0.0, x.max().item())
    return Histogram(low, high, torch.zeros(BINS, dtype=torch.float64)).with_values(x)


def normal(count=200_000):
    return torch.randn(count, generator=torch.Generator().manual_seed(0))


def test_histogram_counts_as_numpy_does():
    import numpy as np

    x = normal().double()
    mine = histogram(x)
    counts, edges = np.histogram(x.numpy(), bins=BINS, range=(mine.low, mine.high))
    assert mine.counts.sum() == len(x)
    assert (mine.counts - torch.from_numpy(counts)).abs().sum() <= 4  # an edge may round either way
    assert torch.allclose(mine.centers, torch.from_numpy((edges[1:] + edges[:-1]) / 2))


def test_a_histogram_of_parts_is_that_of_the_whole():
    x = normal()
    whole = histogram(x)
    parts = Histogram(whole.low, whole.high, torch.zeros(BINS, dtype=torch.float64))
    for part in x.split(70_001):
        parts = parts.with_values(part)
    assert torch.equal(parts.counts, whole.counts)


def test_zero_has_a_code_of_its_own():
    assert affine(0.0, 2.55) == (pytest.approx(0.01), 0)
    assert affine(-2.55, 0.0) == (pytest.approx(0.01), 255)
    assert affine(-1.0, 1.0) == (pytest.approx(2 / 255), 128)  # 127.5 goes to the even number
    assert affine(0.0, 0.0) == (1.0, 0)


@pytest.mark.parametrize("percentile", [99.99, 99.0, 90.0])
def test_percentiles_of_a_uniform_distribution(percentile):
    x = torch.linspace(0, 10, 1_000_001)
    assert percentile_range(histogram(x), percentile) == (0.0, pytest.approx(percentile / 10, abs=1e-4))
    low, high = percentile_range(histogram(x - 5), percentile)
    assert (low, high) == (pytest.approx(-percentile / 20, abs=1e-4), pytest.approx(percentile / 20, abs=1e-4))


def test_percentiles_of_a_normal_distribution():
    x = normal()
    low, high = percentile_range(histogram(x), 99.0)
    assert high == pytest.approx(torch.quantile(x.double(), 0.995).item(), abs=0.01)
    assert low == pytest.approx(torch.quantile(x.double(), 0.005).item(), abs=0.01)
    assert percentile_range(histogram(x), 100.0) == (pytest.approx(x.min().item()), pytest.approx(x.max().item()))


def test_the_least_squared_error_is_that_of_the_clipping_of_a_normal_distribution():
    """Banner et al. 2019 ("ACIQ", table 1 of the preprint): at 8 bits the best clipping of N(0, 1) is near 3.9."""
    low, high = mse_range(histogram(normal(2_000_000)))
    assert 3.6 < high < 4.3
    assert 3.6 < -low < 4.3


def test_the_squared_error_is_what_quantizing_costs():
    x = normal()
    limits = (-2.0, 3.0)
    scale, zero_point = affine(*limits)
    reference = torch.fake_quantize_per_tensor_affine(x.double().float(), scale, zero_point, 0, 255)
    exact = (reference - x).double().pow(2).sum().item()
    assert squared_error(histogram(x), limits) == pytest.approx(exact, rel=0.01)


def test_an_outlier_is_cut_by_all_but_the_extremes():
    x = torch.cat([normal().abs(), torch.tensor([100.0])])
    for find, most in ((mse_range, 80), (entropy_range, 60), (lambda h: percentile_range(h, 99.9), 4)):
        low, high = find(histogram(x))
        assert low == 0.0
        assert 2 < high < most


def test_entropy_keeps_values_that_are_few_codes_already():
    """Quantizing them changes nothing: the divergence is zero only with the whole range."""
    x = torch.arange(128).repeat(50).float()
    assert entropy_range(histogram(x)) == (0.0, 127.0)


def test_divergence_by_hand():
    """Four bins to two levels: the counts of each level spread over its bins that are not empty."""
    counts = torch.tensor([4.0, 0.0, 1.0, 3.0, 2.0], dtype=torch.float64)
    p, q = [0.4, 0.1, 0.5], [4 / 8, 2 / 8, 2 / 8]  # of bins 0, 2 and 3; the outliers, 2, are in the last of p
    expected = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert divergence(counts, 4, 2) == pytest.approx(expected)
    alone = (1 / 3) * math.log((1 / 3) / (1 / 2)) + (2 / 3) * math.log((2 / 3) / (1 / 2))
    assert divergence(torch.tensor([1.0, 0.0, 2.0]).double(), 2, 2) == pytest.approx(alone)  # only outliers at the end


def test_absolute_values():
    x = normal()
    folded, direct = absolute(histogram(x)), histogram(x.abs())
    assert folded.high == pytest.approx(direct.high)
    assert (folded.counts.cumsum(0) - direct.counts.cumsum(0)).abs().max() < 0.002 * len(x)


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy", "mse"])
def test_rectified_activations_have_zero_point_zero(method):
    torch.manual_seed(0)
    model = nn.Sequential(
        ActivationQuantizer(8, False), nn.Linear(8, 8), nn.ReLU(), ActivationQuantizer(8, False)
    ).eval()
    batches = [(torch.randn(32, 8), None) for _ in range(4)]
    calibrate(model, batches, method, 99.9)
    assert 90 < model[0].zero_point < 165
    assert model[3].zero_point == 0
    with torch.no_grad():
        error = model(batches[0][0]) - nn.Sequential(*model[1:3])(batches[0][0])
    assert error.abs().max() < (0.02 if method == "minmax" else 1.5)


def test_the_extremes_are_those_of_all_batches_without_earlier_quantizers():
    model = nn.Sequential(ActivationQuantizer(8, False), nn.Flatten(), ActivationQuantizer(8, False))
    calibrate(model, [(torch.tensor([[-1.0, 2.0]]), None), (torch.tensor([[0.5, 4.1]]), None)], "minmax", 100.0)
    for quantizer in (model[0], model[2]):
        assert quantizer.scale.item() == pytest.approx(5.1 / 255)
        assert quantizer.zero_point == 50


def test_dead_activations_stay_zero():
    model = nn.Sequential(ActivationQuantizer(8, False))
    for method in ("minmax", "percentile", "entropy", "mse"):
        calibrate(model, [(torch.zeros(2, 3), None)], method, 99.9)
        assert torch.equal(model(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_infinite_activations_are_refused():
    with pytest.raises(RunError, match="0: activations are not finite"):
        calibrate(nn.Sequential(ActivationQuantizer(8, False)), [(torch.tensor([1.0, math.inf]), None)], "mse", 99.9)
    with pytest.raises(RunError, match="not finite"):
        calibrate(nn.Sequential(ActivationQuantizer(8, False)), [(torch.tensor([1.0, math.nan]), None)], "mse", 99.9)
