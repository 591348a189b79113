"""Initialize a model with the weights of another run."""

from pathlib import Path

from torch import Tensor, nn

from effdl.models.storage import opened
from effdl.models.storage.index import Entry
from effdl.models.surgery import last_layer
from effdl.utils.errors import UserError


def load_weights(model: nn.Module, source: str) -> list[str]:
    """Copy into ``model`` the tensors of ``source``: a run folder, its model file, or any .safetensors state dict.

    Returns messages for the log. A last layer for another number of classes keeps its initial weights. Raises
    UserError if ``source`` does not exist, or differs from the model in any other tensor; nothing is decoded then.
    """
    path = Path(source)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise UserError(f"model.weights={source}: no such file: {path} (allowed: a run folder or a .safetensors file)")
    with opened(path) as file:
        problems = _mismatches(model.state_dict(), file.tensors)
        head, _ = last_layer(model)
        foreign = [text for key, text in problems.items() if key.rpartition(".")[0] != head]
        if foreign:
            more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
            raise UserError(f"model.weights={source}: does not fit the model: {'; '.join(foreign[:3])}{more}")
        state = {key: tensor for key, tensor in file.state().items() if key not in problems}
        model.load_state_dict(state, strict=False)
    kept = [f"last layer left as initialised: {'; '.join(problems.values())}"] if problems else []
    return [f"weights loaded from {path}", *kept]


def _mismatches(wanted: dict[str, Tensor], found: dict[str, Entry | Tensor]) -> dict[str, str]:
    """Reasons, by name, why the tensors ``found`` cannot be loaded into those ``wanted``."""
    problems = {}
    for key, tensor in wanted.items():
        if key not in found:
            if not key.endswith("num_batches_tracked"):  # a counter that inference does not read; files may omit it
                problems[key] = f"{key} is missing"
        elif tuple(found[key].shape) != tuple(tensor.shape):
            problems[key] = f"{key} is {tuple(found[key].shape)} there, {tuple(tensor.shape)} here"
    return problems | {key: f"{key} is not in the model" for key in found if key not in wanted}
