"""Calibration: ranges of the activations of a model on some images, and the 8-bit codes that cover them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from effdl.nn.fake_quant import bounds, fake_quantize
from effdl.nn.hooks import forward_hooks
from effdl.nn.quantizers import ActivationQuantizer
from effdl.utils.errors import RunError

Calibration = Literal["minmax", "percentile", "entropy", "mse"]
BINS = 2048
_STRIDE = 8  # distance, in bins, between the thresholds that are tried
_CHUNK = 1 << 22  # values that are binned at a time


@dataclass(frozen=True)
class Histogram:
    """A histogram with equal bins between `low` <= 0 and `high` >= 0; `counts` is float64 (BINS,)."""

    low: float
    high: float
    counts: Tensor

    @property
    def centers(self) -> Tensor:
        """The middle of each bin, float64 (BINS,)."""
        width = (self.high - self.low) / len(self.counts)
        return self.low + (torch.arange(len(self.counts), dtype=torch.float64) + 0.5) * width

    def with_values(self, x: Tensor) -> "Histogram":
        """A histogram that also counts the values of a tensor of any shape, which must lie within the range."""
        counts, per_unit = self.counts.clone(), len(self.counts) / (self.high - self.low or 1.0)
        for part in x.detach().flatten().split(_CHUNK):
            bins = ((part - self.low) * per_unit).long().clamp_(0, len(counts) - 1)
            counts += torch.bincount(bins, minlength=len(counts)).cpu()
        return replace(self, counts=counts)


_Range = tuple[float, float]


def percentile_range(histogram: Histogram, percentile: float) -> _Range:
    """The range outside of which (100 - percentile) % of the values lie, equally many at each end that is not zero.

    Percentiles are those of the histogram, with linear interpolation within a bin.
    """
    tail = (1 - percentile / 100) / (2 if histogram.low < 0 < histogram.high else 1)
    return (
        _quantile(histogram, tail) if histogram.low < 0 else 0.0,
        _quantile(histogram, 1 - tail) if histogram.high > 0 else 0.0,
    )


def _quantile(histogram: Histogram, fraction: float) -> float:
    """The value below which a fraction (0 to 1) of the values lies."""
    cumulated = torch.cat([torch.zeros(1, dtype=torch.float64), histogram.counts.cumsum(0)])
    target = fraction * cumulated[-1].item()
    index = min(max(int(torch.searchsorted(cumulated, target)), 1), len(histogram.counts))
    below, inside = cumulated[index - 1].item(), histogram.counts[index - 1].item()
    position = index - 1 + ((target - below) / inside if inside else 0.0)
    return histogram.low + position * (histogram.high - histogram.low) / len(histogram.counts)


def entropy_range(histogram: Histogram) -> _Range:
    """The threshold at which quantizing changes the distribution least, by Kullback-Leibler divergence.

    Migacz 2017, "8-bit Inference with TensorRT", slides 38 to 40: on absolute values, with 128 levels; 256 if there
    are no negative values. The threshold limits both ends of the range.
    """
    folded, levels = absolute(histogram), 128 if histogram.low < 0 < histogram.high else 256
    folded.counts[0] = folded.counts[1]  # zeros have a code of their own and are not spread over a level
    bins = min(range(levels, BINS + 1, _STRIDE), key=lambda bins: divergence(folded.counts, bins, levels))
    threshold = bins / BINS * folded.high
    return max(histogram.low, -threshold), min(histogram.high, threshold)


def absolute(histogram: Histogram) -> Histogram:
    """The histogram of the absolute values."""
    high = max(-histogram.low, histogram.high)
    bins = (histogram.centers.abs() * (BINS / (high or 1.0))).long().clamp_(max=BINS - 1)
    return Histogram(0.0, high, torch.zeros(BINS, dtype=torch.float64).index_add_(0, bins, histogram.counts))


def divergence(counts: Tensor, bins: int, levels: int) -> float:
    """KL divergence of the first `bins` counts, outliers added to the last, from those merged into `levels` levels.

    The count of each level is spread evenly over those of its bins that are not empty. The last bin, to which the
    outliers are added, counts as having at least one value, or no threshold could follow an empty bin.
    """
    inside = counts[:bins]
    reference = inside.clone()
    reference[-1] += counts[bins:].sum()
    level = torch.arange(bins) * levels // bins
    filled = (inside > 0).double()
    merged = torch.zeros(levels, dtype=torch.float64).index_add_(0, level, inside)
    spread = torch.zeros(levels, dtype=torch.float64).index_add_(0, level, filled)
    quantized = (merged / spread.clamp(min=1))[level] * filled
    quantized[-1].clamp_(min=1)
    there = reference > 0
    p, q = reference[there] / reference.sum(), quantized[there] / quantized.sum()
    return (p * (p / q).log()).sum().item()


def mse_range(histogram: Histogram) -> _Range:
    """The range with the smallest squared error of its 256 codes, among 1 % to 100 % of the whole range."""
    candidates = [(histogram.low * part / 100, histogram.high * part / 100) for part in range(1, 101)]
    return min(candidates, key=lambda limits: squared_error(histogram, limits))


def squared_error(histogram: Histogram, limits: _Range) -> float:
    """Sum of the squared errors of the values of a histogram when they are quantized to 8 bits within limits."""
    scale, zero_point = affine(*limits)
    scale = torch.tensor(scale, dtype=torch.float64)
    quantized = fake_quantize(histogram.centers, scale, zero_point, *bounds(8, signed=False))
    return (histogram.counts * (quantized - histogram.centers) ** 2).sum().item()


def affine(low: float, high: float) -> tuple[float, int]:
    """Scale and zero point of the unsigned 8-bit codes that cover a range around zero; zero is exactly representable.

    See Jacob et al. 2018, section 3. The scale of an empty range is 1.
    """
    scale = (high - low) / 255 or 1.0
    return scale, round(-low / scale)


@torch.no_grad()
def calibrate(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], method: Calibration, percentile: float
) -> None:
    """Set scale and zero point of every activation quantizer of a model, in place.

    Quantizers pass their input on unchanged during the calibration, so that the error of one does not change the range
    of another.

    Args:
        model: in eval mode.
        batches: images (n, C, H, W), and labels, which are not used.
        method: how ranges are chosen (see `int8.int8`).
        percentile: percentage of the values within the range, for the method "percentile".

    Raises:
        RunError: an activation is not finite.
    """
    images = [images for images, _ in batches]
    quantizers = {name: m for name, m in model.named_modules() if isinstance(m, ActivationQuantizer)}
    ranges = _extremes(model, images, quantizers)
    if method != "minmax":
        find = {"percentile": lambda h: percentile_range(h, percentile), "entropy": entropy_range, "mse": mse_range}
        found = _histograms(model, images, ranges)
        ranges = {quantizer: find[method](histogram) for quantizer, histogram in found.items()}
    for quantizer, limits in ranges.items():
        scale, zero_point = affine(*limits)
        quantizer.scale.fill_(scale)
        quantizer.zero_point.fill_(zero_point)


def _extremes(model: nn.Module, images: list[Tensor], quantizers: dict[str, nn.Module]) -> dict[nn.Module, _Range]:
    """Smallest and largest input of each quantizer, at most and at least zero; RunError if one is not finite."""
    ends = {quantizer: torch.zeros(2) for quantizer in quantizers.values()}  # minus the smallest, and the largest

    def note(quantizer: nn.Module, x: Tensor) -> None:
        ends[quantizer] = ends[quantizer].maximum(torch.stack([-x.min(), x.max()]).float().cpu())

    _observe(model, images, ends, note)
    for name, quantizer in quantizers.items():
        if not ends[quantizer].isfinite().all():
            raise RunError(f"{name}: activations are not finite, and cannot be quantized")
    return {quantizer: (-low.item(), high.item()) for quantizer, (low, high) in ends.items()}


def _histograms(model: nn.Module, images: list[Tensor], ranges: dict[nn.Module, _Range]) -> dict[nn.Module, Histogram]:
    """A histogram of the inputs of each quantizer over its range."""
    found = {q: Histogram(*limits, torch.zeros(BINS, dtype=torch.float64)) for q, limits in ranges.items()}

    def note(quantizer: nn.Module, x: Tensor) -> None:
        found[quantizer] = found[quantizer].with_values(x)

    _observe(model, images, ranges, note)
    return found


def _observe(model: nn.Module, images: list[Tensor], quantizers: Iterable[nn.Module], note: Callable) -> None:
    """Run a model on images and call ``note(quantizer, input)``; the quantizers pass their input on unchanged."""

    def hook(quantizer: nn.Module, arguments: tuple, output: Tensor) -> Tensor:
        note(quantizer, arguments[0])
        return arguments[0]

    with forward_hooks(quantizers, hook):
        for batch in images:
            model(batch)
