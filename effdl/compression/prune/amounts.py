"""Which layers are pruned, and how much of one compared with another."""

import json
from pathlib import Path

from effdl.config.annotations import conforms
from effdl.config.types import Fraction
from effdl.nn.layers import excluded
from effdl.utils.errors import UserError

EQUAL = 0.5  # any value will do: only how amounts compare counts


def layer_amounts(names: list[str], exclude: list[str], path: str | None) -> list[float]:
    """The amount of each layer: 0 if nothing of it is pruned.

    Args:
        names: of the layers. exclude: patterns such as ``layer1.*`` or ``*.conv1``.
        path: of a JSON file ``{layer name: fraction}``; a layer that it does not name is left alone. None: all equal.

    Raises:
        UserError: a pattern or a name that fits no layer, or a file that is none of these.
    """
    out = excluded(names, exclude)
    found = dict.fromkeys(names, EQUAL) if path is None else read_amounts(path, names)
    return [0.0 if name in out else found.get(name, 0.0) for name in names]


def read_amounts(path: str, names: list[str]) -> dict[str, float]:
    """The amounts in a file, checked."""
    try:
        amounts = json.loads(Path(path).expanduser().read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"amounts={path}: {error}") from error
    if not isinstance(amounts, dict) or not all(conforms(value, Fraction) for value in amounts.values()):
        raise UserError(f"amounts={path}: allowed is {{layer name: fraction >= 0 and < 1}} in JSON")
    if unknown := sorted(set(amounts) - set(names)):
        raise UserError(f"amounts={path}: {unknown[0]} is no layer (layers: {', '.join(names)})")
    return amounts
