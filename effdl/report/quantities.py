"""What the numbers of a run's rows are called on an axis or above a column, in which unit, and which way is better."""

import re
from dataclasses import dataclass
from statistics import median

from effdl.measure.pareto import MAX, MIN

# key of a row: name, unit, what a stored number is multiplied with to be in that unit, which way is better.
QUANTITIES: dict[str, tuple[str, str, float, str | None]] = {
    "loss": ("loss", "", 1, MIN),
    "params": ("parameters", "parameters", 1, MIN),
    "params_nonzero": ("non-zero parameters", "parameters", 1, MIN),
    "sparsity": ("sparsity", "%", 100, MAX),
    "weight_sparsity": ("weight sparsity", "%", 100, MAX),
    "macs": ("multiply-accumulates", "MACs", 1, MIN),
    "macs_nonzero": ("non-zero multiply-accumulates", "MACs", 1, MIN),
    "weight_bits": ("bits per weight", "", 1, MIN),
    "activation_bits": ("bits per activation", "", 1, MIN),
    "bops": ("bit operations", "BOPs", 1, MIN),
    "size_bytes": ("size on disk", "B", 1, MIN),
    "size_fp32_bytes": ("size in fp32 before any step", "B", 1, MIN),
    "compression_ratio": ("compression", "x", 1, MAX),
    "latency_ms": ("latency of one image", "ms", 1, MIN),
    "throughput_images_per_s": ("throughput", "images/s", 1, MAX),
    "memory_peak_bytes": ("peak memory", "B", 1, MIN),
    "duration_s": ("training time of the stage", "s", 1, MIN),
    "energy_kwh": ("training energy of the stage", "Wh", 1000, MIN),
    "energy_so_far_kwh": ("energy of the run so far", "Wh", 1000, MIN),
    "co2eq_g": ("CO2eq of the stage's training", "g", 1, MIN),
    "evaluate_duration_s": ("time of the evaluation", "s", 1, MIN),
    "evaluate_energy_kwh": ("energy of the evaluation", "Wh", 1000, MIN),
    "evaluate_co2eq_g": ("CO2eq of the evaluation", "g", 1, MIN),
    "total_duration_s": ("time of the run", "s", 1, MIN),
    "total_energy_kwh": ("energy of the run", "Wh", 1000, MIN),
    "total_co2eq_g": ("CO2eq of the run", "g", 1, MIN),
    "course_score": ("course score", "", 1, MIN),
    "micronet_score": ("MicroNet score", "", 1, MIN),
}
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))
PREFIXED = {"B", "MACs", "BOPs", "Wh", "g", "parameters"}  # the units that take a prefix: MB, but not kms


@dataclass(frozen=True)
class Axis:
    """How a quantity is shown: ``name (unit)``, stored numbers times `scale`; `better` is "min", "max" or None."""

    name: str
    unit: str
    scale: float
    better: str | None

    @property
    def label(self) -> str:
        """Name and unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


def axis(key: str, values: list[float]) -> Axis:
    """How the numbers of a column are shown, with the SI prefix that fits the middle one of those that are not 0."""
    if match := re.fullmatch(r"(val_)?top(\d+)", key):
        return Axis(f"top-{match[2]} {'validation ' if match[1] else ''}accuracy", "%", 100, MAX)
    name, unit, factor, better = QUANTITIES.get(key, (key, "", 1, None))
    sizes = [abs(value) * factor for value in values if value]
    if unit not in PREFIXED or not sizes:
        return Axis(name, "" if unit == "parameters" else unit, factor, better)
    step, prefix = next((pair for pair in PREFIXES if median(sizes) >= pair[0]), PREFIXES[-1])
    if unit == "parameters":
        unit = {"k": "thousands", "M": "millions", "G": "billions"}.get(prefix, prefix)
        return Axis(name, unit, factor / step, better)
    prefix = "K" if unit == "B" and prefix == "k" else prefix
    gap = " " if prefix and unit in ("MACs", "BOPs") else ""
    return Axis(name, prefix + gap + unit, factor / step, better)
