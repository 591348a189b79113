"""Published scores of efficient models: pure formulas, and the columns that follow from the rows of a run.

A score is None if a value that it needs was not measured. Standard library only.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

_PUE_2018, _LBS_PER_KWH_2018 = 1.58, 0.954  # world average of data centres; average of the USA


class Reference(NamedTuple):
    """What a MicroNet score is relative to: 32-bit parameters, and operations (multiplications and additions)."""

    name: str
    parameters: float
    operations: float


CIFAR100 = Reference("CIFAR-100 (WideResNet-28-10)", 36.5e6, 10.49e9)
IMAGENET = Reference("ImageNet (MobileNetV2-1.4)", 6.9e6, 1170e6)


def counted_bits(layer: dict) -> float:
    """Bits that a weight counts as, from its row of ``layers.jsonl``: 7-bit codes are 8-bit integers."""
    return 8 if layer["weight_bits"] == 7 else layer["weight_bits"]


def micronet_storage(tensors: Iterable[tuple[int, int, float]]) -> float:
    """32-bit parameters that tensors of (elements, non-zero elements, bits) count as.

    A b-bit value counts b/32; a tensor with zeros is stored as its non-zero values and a mask of one bit per element
    (MicroNet Challenge, NeurIPS 2019, https://micronet-challenge.github.io/scoring_and_submission), unless plain
    storage is smaller.
    """
    return sum(min(elements * bits, nonzero * bits + elements) for elements, nonzero, bits in tensors) / 32


def micronet_operations(products: Iterable[tuple[float, float]], accumulator_bits: float = 32) -> float:
    """Operations that (multiply-accumulates, largest input bits) count as.

    A multiplication counts bits/32, and so does an addition, whose inputs are sums: 32 bits, as in the challenge's
    own counter (google-research/micronet_challenge/counting.py).
    """
    return sum(macs * (bits + accumulator_bits) / 32 for macs, bits in products)


def micronet_score(storage: float, operations: float, reference: Reference) -> float:
    """MicroNet Challenge: storage and operations relative to the reference's, summed; the lowest wins."""
    return storage / reference.parameters + operations / reference.operations


def micronet_columns(row: dict, layers: Sequence[dict], reference: Reference) -> dict:
    """The MicroNet score of a stage, from its row and its rows of ``layers.jsonl``.

    "Any values needed for inference" are stored:

    - weights with their `counted_bits`, and their scales or codebooks as floats;
    - a batch norm that folds into the layer before it, as the layer's biases;
    - all other parameters, those of other norms and the scales of activations among them, as floats; their zero points
      as bytes.

    Weights multiply with the width that they have in the arithmetic, where they are not zero: a codebook's are floats.
    A layer's bias is the last of its additions. A model with nothing below 16 bits counts as 16-bit ("freebie"), its
    sums as 32-bit. Activation functions, pooling and residual additions are not recorded and not counted. Runs of
    earlier versions did not record tables and folded norms: there neither scales nor codebooks count, and batch norms
    count as they are.
    """
    if not layers or missing(row, ("params", "macs")):
        return dict.fromkeys(("micronet_storage", "micronet_operations", "micronet_score", "micronet_reference"))
    free = min(min(counted_bits(layer), layer["activation_bits"]) for layer in layers) >= 16
    float_bits = 16 if free else 32
    tensors, products = [], []
    for layer in layers:
        bits, entering = (min(b, float_bits) for b in (counted_bits(layer), layer["activation_bits"]))
        if layer["params"]:  # those of a tensor that several layers share are the first one's
            tensors.append((layer["weights"], layer["weights_nonzero"], bits))
        products.append((layer["macs_nonzero"], max(min(layer.get("arithmetic_bits", bits), float_bits), entering)))
    folded = sum(layer["params"] + layer.get("norm_params", 0) for layer in layers)
    biases = sum(layer.get("folded_biases", max(layer["params"] - layer["weights"], 0)) for layer in layers)
    floats = biases + sum(layer.get("table", 0) for layer in layers) + row["params"] - folded
    tensors.append((floats, floats, float_bits))
    tensors.append((row.get("zero_points", 0), row.get("zero_points", 0), 8))
    products.append((row["macs"] - sum(layer["macs"] for layer in layers), float_bits))  # of two activations
    storage, operations = micronet_storage(tensors), micronet_operations(products)
    return {
        "micronet_storage": storage,
        "micronet_operations": operations,
        "micronet_score": micronet_score(storage, operations, reference),
        "micronet_reference": reference.name,
    }


def model_kb(parameters: Iterable[tuple[int, float]]) -> float:
    """Size in KB (1,024 bytes) of (non-zero parameters, bits): how DCASE 2020 task 1b counts, limit 500 KB."""
    return sum(nonzero * bits for nonzero, bits in parameters) / 8 / 1024


def dcase_columns(row: dict, layers: Sequence[dict], management: Sequence[str]) -> dict:
    """The columns of DCASE 2020 task 1b (Heittola et al. 2020, arXiv:2005.14623) that are not in the row already.

    Args:
        layers: the stage's rows of ``layers.jsonl``.
        management: methods applied so far: the challenge's "complexity management".
    """
    size = None
    if layers and not missing(row, ("params_nonzero",)):
        weights = [(layer["weights_nonzero"], counted_bits(layer)) for layer in layers]
        float_bits = 16 if all(bits == 16 for _, bits in weights) else 32
        size = model_kb([*weights, (row["params_nonzero"] - sum(nonzero for nonzero, _ in weights), float_bits)])
    return {"dcase_size_kb": size, "dcase_complexity_management": ", ".join(management) or "-"}


def average_ranks(entries: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Mean rank of each entry over its criteria, all of them "lower is better"; equal values share their mean rank.

    An entry without a value for each criterion is not ranked. DCASE 2020 itself ranked by accuracy alone; the mean of
    ranks by quality and complexity is how the challenge compares since 2023.
    """
    complete = [i for i, entry in enumerate(entries) if None not in entry]
    columns = [sorted(column) for column in zip(*(entries[i] for i in complete), strict=True)]
    found: list[float | None] = [None] * len(entries)
    for i in complete:
        found[i] = fmean(_rank(value, column) for value, column in zip(entries[i], columns, strict=True))
    return found


def _rank(value: float, ordered: Sequence[float]) -> float:
    """Rank of a value among values in ascending order, from 1; equal values share the mean of their ranks."""
    return (bisect_left(ordered, value) + bisect_right(ordered, value) + 1) / 2


class _TrainingCost(NamedTuple):
    """A row of Strubell et al. 2019, table 3."""

    hardware: str | None
    power_w: float
    hours: float
    kwh_pue: float
    co2e_lbs: float


def training_cost(power_w: float, hours: float, hardware: str | None = None) -> _TrainingCost:
    """The cost of a training by Strubell, Ganesh & McCallum 2019 (ACL), equations 1 and 2.

    ``p_t = 1.58 t p / 1000`` kWh and ``CO2e = 0.954 p_t`` lbs, with the data-centre overhead (PUE) and the carbon
    intensity of the USA that the paper assumes; `effdl` itself reports ``co2eq_g`` with those of the run's config.

    Args:
        power_w: mean power of CPU, memory and GPUs together.
    """
    kwh = _PUE_2018 * hours * power_w / 1000
    return _TrainingCost(hardware, power_w, hours, kwh, _LBS_PER_KWH_2018 * kwh)


def training_cost_columns(duration_s: float | None, energy_kwh: float | None, hardware: str | None) -> dict:
    """The row of Strubell et al. for a whole run: its mean power is its energy over its time."""
    cost = _TrainingCost(hardware, None, None, None, None)
    if duration_s and energy_kwh is not None:
        hours = duration_s / 3600
        cost = training_cost(1000 * energy_kwh / hours, hours, hardware)
    return {f"training_{key}": value for key, value in cost._asdict().items()}


def missing(row: dict, keys: Iterable[str]) -> bool:
    """Whether a value of any of the keys was not measured."""
    return any(row.get(key) is None for key in keys)
