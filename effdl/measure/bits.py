"""Number of bits of a model's weights and activations, and the bit operations that follow from them."""

from collections.abc import Iterable

from torch import nn

from effdl.measure.scores import integer_bits
from effdl.nn.quantizers import ActivationQuantizer


def zero_points(model: nn.Module) -> int:
    """Number of the quantizers of activations whose zero is another code than 0, which inference must know."""
    return sum(int(m.zero_point != 0) for m in model.modules() if isinstance(m, ActivationQuantizer))


def arithmetic_bits(kind: str, bits: int, float_bits: int) -> int:
    """Width of the numbers by which a layer multiplies its inputs.

    A codebook's indices are looked up, and its floats multiplied; codes have their `integer_bits`.

    Args:
        kind, bits: of the weight in the stored file, see `storage.breakdown`.
        float_bits: of the model's floating-point numbers.
    """
    return float_bits if "palette" in kind else integer_bits(bits)


def summary(rows: Iterable[dict], macs_nonzero: int, float_bits: int) -> dict:
    """``weight_bits``, ``activation_bits`` and ``bops`` of a model, from the rows of its layers (see `per_layer`).

    ``weight_bits`` is the mean over all weights, ``activation_bits`` the mean over the activations that enter layers
    (None without layers), and ``bops`` the sum of non-zero MACs x `arithmetic_bits` of the weight x bits of the
    activation.

    Args:
        rows: one for each weight.
        macs_nonzero: of the whole model; those that belong to no row are products of two activations.
        float_bits: number of bits of these activations.
    """
    rows = list(rows)
    weight_count, activations = sum(row["weights"] for row in rows), sum(row["inputs"] for row in rows)
    inside = sum(row["macs_nonzero"] for row in rows)
    return {
        "weight_bits": sum(row["weights"] * row["weight_bits"] for row in rows) / weight_count if rows else None,
        "activation_bits": sum(row["inputs"] * row["activation_bits"] for row in rows) / activations if rows else None,
        "bops": sum(row["macs_nonzero"] * row["arithmetic_bits"] * row["activation_bits"] for row in rows)
        + (macs_nonzero - inside) * float_bits**2,
    }
