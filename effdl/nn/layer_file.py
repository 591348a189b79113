"""Files that say something of each layer, such as how much to prune of it or how many bits it gets."""

from pathlib import Path
from typing import TypeVar

from effdl.utils.errors import UserError
from effdl.utils.shapes import read_shaped

T = TypeVar("T")


def read_layer_file(key: str, path: str, names: list[str], kind: type[T], allowed: str) -> dict[str, T]:
    """Read a JSON file ``{layer name: value}``.

    Args:
        key: that names the file, for messages.
        names: of the model's layers.
        kind: of a value, as pydantic checks it.
        allowed: what the file may hold, in words.

    Raises:
        UserError: there is no such file, it has other content, or it names no layer.
    """
    try:
        found = read_shaped(Path(path).expanduser(), dict[str, kind])
    except UserError as error:
        raise UserError(f"{key}={error} (allowed: {{layer name: {allowed}}} in JSON)") from error
    if unknown := sorted(set(found) - set(names)):
        raise UserError(f"{key}={path}: {unknown[0]} is no layer (layers: {', '.join(names)})")
    return found
