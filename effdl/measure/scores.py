"""Published scores of efficient models: pure formulas, and the columns that follow from the rows of a run.

A score is None if a value that it needs was not measured. Standard library only.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Reference(NamedTuple):
    """What a MicroNet score is relative to: 32-bit parameters, and operations (multiplications and additions)."""

    name: str
    parameters: float
    operations: float


CIFAR100 = Reference("CIFAR-100 (WideResNet-28-10)", 36.5e6, 10.49e9)
IMAGENET = Reference("ImageNet (MobileNetV2-1.4)", 6.9e6, 1170e6)


def reference_of(dataset: str) -> Reference:
    """ImageNet's for a set of that name; else CIFAR-100's, the nearest that the challenge has for small images."""
    return IMAGENET if "imagenet" in dataset.lower() else CIFAR100


def counted_bits(layer: dict) -> float:
    """Bits that a weight counts as, from its row of ``layers.jsonl``."""
    return integer_bits(layer["weight_bits"])


def integer_bits(bits: float) -> float:
    """Width of the numbers that hold codes of so many bits.

    7-bit codes are those of 8-bit integers that leave half of their range unused
    (`effdl.compression.quantize.int8`); others count as wide as they are.
    """
    return 8 if bits == 7 else bits


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


def missing(row: dict, keys: Iterable[str]) -> bool:
    """Whether a value of any of the keys was not measured."""
    return any(row.get(key) is None for key in keys)
