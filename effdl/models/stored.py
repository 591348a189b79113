"""Loading of stored models, which are rebuilt from the file alone."""

from copy import deepcopy
from pathlib import Path
from typing import Any

from torch import nn

from effdl.config.annotations import conforms, describe
from effdl.config.identity import is_shipped, node_by_target
from effdl.config.naming import option_name
from effdl.config.types import Count, Pixels
from effdl.data.inputs import Inputs, inputs_of
from effdl.models import storage
from effdl.models.build import dry_run, family_name, maker
from effdl.models.outline import fill, missing, outline
from effdl.models.storage.index import Entry
from effdl.models.structure import apply
from effdl.nn.state import load_state
from effdl.utils.errors import UserError

_MODEL_FILE = "model.safetensors"  # in a run folder
_LARGEST_TRIED = 512  # side in pixels of images that a model is tried with at the cost of memory
_DESCRIPTION = {"config": dict[str, Any], "channels": Count, "image_size": Pixels, "classes": Count}


def load_model(path: str | Path, *, trusted: bool = False) -> nn.Module:
    """The model in a stored file, in eval mode, with bit-identical weights; the file also has the architecture.

    Until the names and shapes of the file's tensors are known to be those of the architecture, none is allocated.

    Args:
        path: a file ``model.safetensors``, or the run folder that has it.
        trusted: also build a model whose code is not part of effdl.

    Raises:
        UserError: the file is missing, damaged, or names code that may not be run.
    """
    with storage.opened(_file(path)) as file:
        if "config" not in file.model:
            raise UserError(f"{path} does not say which model it holds: it was not stored by effdl")
        model = _checked(file.model)
        try:
            network = _network(node_by_target("model", model["config"]), model, file.tensors, trusted)
        except UserError as error:  # of another version, or code that may not be run
            raise UserError(f"{path}: {error}") from error
        load_state(network, file.state(), assign=True)  # assigned, not copied, so that half precision is kept
    return network.eval()


def read_description(path: str | Path) -> dict:
    """The description of the model in a stored file (or that of a run folder): architecture and stage.

    Raises:
        UserError: the file is missing or damaged.
    """
    with storage.opened(_file(path)) as file:
        return _checked(file.model) if "config" in file.model else file.model


def read_inputs(path: str | Path) -> Inputs | None:
    """The images and classes of the model in a stored file (or that of a run folder); None if the file does not say.

    Raises:
        UserError: the file is missing or damaged.
    """
    return inputs_of(read_description(path))


def _file(path: str | Path) -> Path:
    path = Path(path)
    return path / _MODEL_FILE if path.is_dir() else path


def _checked(model: dict) -> dict:
    """A description whose keys have values of their types.

    Raises:
        ValueError: they have not.
    """
    for key, annotation in _DESCRIPTION.items():
        if not conforms(model.get(key), annotation):
            raise ValueError(f"its {key} is not {describe(annotation)}")
    inputs_of(model)
    return model


def _network(config: dict, model: dict, tensors: dict[str, Entry], trusted: bool) -> nn.Module:
    """The model of a description, which has the tensors of the file and takes its images; its values are not those.

    None is allocated, but for a moment if a model of another library must be made to know what else it holds.

    Raises:
        UserError: its family is not part of effdl, or needs a library that is not installed.
        ValueError: there is no such model, or it has other tensors.
    """
    images = model["channels"], model["image_size"], model["classes"]
    shipped = is_shipped("model", config)

    def make() -> nn.Module:
        return apply(maker(config, *images, trusted=trusted and not shipped)(), model.get("structure", []))

    if not shipped:
        _check_tensors(network := make(), tensors)
        return network
    try:
        _check_tensors(network := outline(make), tensors)
        if not _runs(network, config, images) or missing(network):
            dry_run(made := make(), family_name(config), *images)
            fill(network, made)
        return network
    except UserError as error:
        if isinstance(error.__cause__, ImportError):
            raise
        raise ValueError(str(error)) from error


def _runs(network: nn.Module, config: dict, images: tuple[int, int, int]) -> bool:
    """Whether an outline takes the images; False also if it must be made to know that.

    Raises:
        UserError: it does not take them.
    """
    try:
        dry_run(deepcopy(network).to("meta"), family_name(config), *images, device="meta")
    except UserError:
        if option_name(config).split()[0] not in ("torchvision", "timm") or images[1] > _LARGEST_TRIED:
            raise
        return False
    return True


def _check_tensors(network: nn.Module, found: dict[str, Entry]) -> None:
    """Check that a file has the tensors of a model; of floating-point numbers each may have its own precision.

    Raises:
        ValueError: it has others.
    """
    wanted = network.state_dict()
    if different := wanted.keys() ^ found.keys():
        raise ValueError(f"its tensors are not those of its architecture: {sorted(different)[0]}")
    for name, tensor in wanted.items():
        entry = found[name]
        same_kind = entry.dtype == tensor.dtype or (entry.dtype.is_floating_point and tensor.is_floating_point())
        if entry.shape != tensor.shape or not same_kind:
            here, there = (f"{one.dtype} {tuple(one.shape)}" for one in (tensor, entry))
            raise ValueError(f"{name} is {there} in the file, {here} in its architecture")
