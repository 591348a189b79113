"""Amounts: which layers are pruned, and how much of each relative to the others."""

from effdl.config.types import Fraction
from effdl.nn.layer_file import read_layer_file
from effdl.nn.layers import excluded

EQUAL = 0.5  # the amount of all layers if none is given; only the relation of amounts matters
_ALLOWED = "fraction >= 0 and < 1"


def layer_amounts(names: list[str], exclude: list[str], path: str | None) -> list[float]:
    """The amount of each layer, at least 0 and below 1; a layer with the amount 0 is not pruned.

    Args:
        names: the names of the layers.
        exclude: patterns of the names of layers with the amount 0, such as ``layer1.*`` or ``*.conv1``.
        path: path of a JSON file ``{layer name: fraction}``; layers that it does not name have the amount 0. None: all
            amounts are equal.

    Raises:
        UserError: a pattern or a name matches no layer, or the file cannot be read or has other content.
    """
    out = excluded(names, exclude)
    found = dict.fromkeys(names, EQUAL) if path is None else read_layer_file("amounts", path, names, Fraction, _ALLOWED)
    return [0.0 if name in out else found.get(name, 0.0) for name in names]
