"""Published scores of efficient models: pure formulas, and the columns that follow from the rows of a run.

A score is None if a value that it needs was not measured. Standard library only.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

_COURSE_WEIGHTS, _COURSE_MACS = 5.6e6, 2.8e8  # ResNet-18 on CIFAR-10 in half precision
COURSE_LINE = 0.9  # top-1 that a model must reach on CIFAR-10
_PUE_2018, _LBS_PER_KWH_2018 = 1.58, 0.954  # world average of data centres; average of the USA


class Reference(NamedTuple):
    """What a MicroNet score is relative to: 32-bit parameters, and operations (multiplications and additions)."""

    name: str
    parameters: float
    operations: float


CIFAR100 = Reference("CIFAR-100 (WideResNet-28-10)", 36.5e6, 10.49e9)
IMAGENET = Reference("ImageNet (MobileNetV2-1.4)", 6.9e6, 1170e6)


def course_score(
    weights: float,
    macs: float,
    weight_bits: float,
    activation_bits: float,
    *,
    structured: float = 0.0,
    unstructured: float = 0.0,
    structured_macs: float | None = None,
) -> float:
    """Score of the course "Efficient Deep Learning" (IMT Atlantique, lab 4); the lowest wins.

    ``[1 - (p_s + p_u)] (q_w / 32) w / 5.6e6  +  (1 - p_s) (max(q_w, q_a) / 32) f / 2.8e8``

    Args:
        weights, macs: w and f, of the unpruned network.
        weight_bits, activation_bits: q_w and q_a.
        structured, unstructured: p_s and p_u, the fractions of the weights that are gone and that are zero.
        structured_macs: p_s of the second term, if the MACs shrank by another fraction than the weights.
    """
    gone = structured if structured_macs is None else structured_macs
    storage = (1 - (structured + unstructured)) * weight_bits / 32 * weights / _COURSE_WEIGHTS
    operations = (1 - gone) * max(weight_bits, activation_bits) / 32 * macs / _COURSE_MACS
    return storage + operations


def reached(top1: float | None) -> bool | None:
    """Whether a top-1 accuracy is what the course asks for; None if it is not known."""
    return None if top1 is None else top1 >= COURSE_LINE


def course_columns(row: dict, dense: dict | None) -> dict:
    """The course score of a stage, from its row and that of the run's dense stage.

    Structured pruning is what is gone from the model: 1 - params/params of the dense one, for the operations the same
    of the MACs (one cannot stand for the other: half the channels are a quarter of the MACs). Unstructured pruning
    are the zeros among what is left, as a fraction of the dense parameters. A factorization counts as structured.
    ``course_reached`` says whether top-1 reaches 90 %, which the course asks for on CIFAR-10.
    """
    keys = ("params", "params_nonzero", "macs", "weight_bits", "activation_bits")
    top1 = row.get("top1")
    columns = dict.fromkeys(("course_p_s", "course_p_s_macs", "course_p_u", "course_score"))
    if dense and not _missing(row, keys) and dense.get("params") and dense.get("macs"):
        p_s, p_s_macs = 1 - row["params"] / dense["params"], 1 - row["macs"] / dense["macs"]
        p_u = (row["params"] - row["params_nonzero"]) / dense["params"]
        score = course_score(
            dense["params"],
            dense["macs"],
            row["weight_bits"],
            row["activation_bits"],
            structured=p_s,
            unstructured=p_u,
            structured_macs=p_s_macs,
        )
        columns = {"course_p_s": p_s, "course_p_s_macs": p_s_macs, "course_p_u": p_u, "course_score": score}
    return {**columns, "course_reached": reached(top1)}


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

    - A model with nothing below 16 bits counts as 16-bit ("freebie"), its sums as 32-bit.
    - Parameters outside the layers that are two per channel of the layers without bias are batch norms: each folds
      into a bias. Others count as they are.
    - A weight's MACs count where the weight is not zero; a layer's bias is the last of its additions.
    - Activations, pooling, residual additions, scales and codebooks are not recorded and not counted.
    """
    if not layers or _missing(row, ("params", "macs")):
        return dict.fromkeys(("micronet_storage", "micronet_operations", "micronet_score", "micronet_reference"))
    free = min(min(layer["weight_bits"], layer["activation_bits"]) for layer in layers) >= 16
    float_bits = 16 if free else 32
    tensors, products = [], []
    for layer in layers:
        bits = min(layer["weight_bits"], float_bits)
        tensors.append((layer["weights"], layer["weights_nonzero"], bits))
        products.append((layer["macs_nonzero"], max(bits, min(layer["activation_bits"], float_bits))))
    biases = sum(layer["params"] - layer["weights"] for layer in layers)
    outside = row["params"] - sum(layer["params"] for layer in layers)
    normed = sum(layer["shape"][0] for layer in layers if layer["params"] == layer["weights"])
    others = biases + (normed if outside == 2 * normed else outside)
    tensors.append((others, others, float_bits))
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
    if layers and not _missing(row, ("params_nonzero",)):
        weights = [(layer["weights_nonzero"], layer["weight_bits"]) for layer in layers]
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


def _missing(row: dict, keys: Iterable[str]) -> bool:
    """Whether a value of any of the keys was not measured."""
    return any(row.get(key) is None for key in keys)
