"""Loading of stored models, which are rebuilt from the file alone."""

from pathlib import Path

from torch import nn

from effdl.models import storage
from effdl.models.build import build
from effdl.models.structure import apply
from effdl.utils.errors import UserError

_MODEL_FILE = "model.safetensors"  # in a run folder


def load_model(path: str | Path, *, trusted: bool = False) -> nn.Module:
    """The model in a stored file, in eval mode, with bit-identical weights; the file also has the architecture.

    Args:
        path: a file ``model.safetensors``, or the run folder that has it.
        trusted: also build a model whose code is not part of effdl.

    Raises:
        UserError: the file is missing, damaged, or names code that may not be run.
    """
    state, model = storage.read(_file(path))
    if "config" not in model:
        raise UserError(f"{path} does not say which model it holds: it was not stored by effdl")
    network = build(
        {**model["config"], "weights": None}, model["channels"], model["image_size"], model["classes"], trusted=trusted
    )
    network = apply(network, model.get("structure", []))
    network.load_state_dict(state, assign=True)  # assigned, not copied, so that half precision is kept
    return network.eval()


def read_description(path: str | Path) -> dict:
    """The description of the model in a stored file (or that of a run folder): architecture and stage."""
    return storage.read(_file(path))[1]


def _file(path: str | Path) -> Path:
    path = Path(path)
    return path / _MODEL_FILE if path.is_dir() else path
