"""A run of a folder, with its data set loaded and its device selected again."""

from dataclasses import dataclass
from pathlib import Path

import torch

from effdl.config.naming import option_name
from effdl.config.stored import stored_config
from effdl.data.build import Data, load, shipped
from effdl.data.inputs import Inputs
from effdl.models.stored import read_inputs
from effdl.runs.folder import DONE, RunFolder
from effdl.runs.verify import verify, verify_model
from effdl.training.device import select_device
from effdl.utils.errors import UserError


@dataclass(frozen=True)
class ReopenedRun:
    """A run's folder with its data set on its device, as the stored model knows it.

    `channels_last` is the memory layout of its training, `runtime` that in which it is timed, and `same_data` says
    whether it is the data set of the run.
    """

    folder: RunFolder
    config: dict
    data: Data
    device: torch.device
    channels_last: bool
    runtime: str
    same_data: bool


def stored_run(path: Path) -> RunFolder:
    """A folder that holds a run with a stored model, all of whose files belong together.

    Raises:
        UserError: it does not.
    """
    folder = RunFolder(path)
    if not folder.run:
        raise UserError(f"{path}: not a run folder (there is no run.json in it)")
    if not folder.model_file.exists() and folder.run["status"] != DONE:
        raise UserError(f"{path}: no model is stored there yet (status {folder.run['status']})")
    verify(folder)
    if folder.run["status"] != DONE:
        verify_model(folder)
    return folder


def reopen(
    folder: RunFolder, *, root: Path | None = None, device: str | None = None, trusted: bool = False
) -> ReopenedRun:
    """The run of a folder by its own config.

    Args:
        root: where the data set is, if it has moved.
        device: instead of the run's own.
        trusted: also run a data set's code that is not part of effdl.

    Raises:
        UserError: its data or device are not there, or the data are of other classes than the model.
    """
    run = folder.run
    config = stored_config(run["config"])
    if not trusted:
        config["dataset"] = shipped(config["dataset"])
    if root:
        if "root" not in config["dataset"]:
            raise UserError(f"--root {root}: {option_name(config['dataset'])} comes with effdl and has no root")
        config["dataset"] = {**config["dataset"], "root": str(root.expanduser().absolute())}
    selected = select_device({**config["device"], **({"name": device} if device else {})})
    if not config["device"]["threads"] and selected.torch_device.type == "cpu":
        select_device({**config["device"], "name": "cpu", "threads": run["threads"]})
    data = load(config["dataset"])
    same = data.fingerprint == run["data_fingerprint"]
    if (inputs := read_inputs(folder.model_file)) is not None:
        data = _as_known(data, inputs, config["dataset"], folder.path)
    device = selected.torch_device
    return ReopenedRun(folder, config, data.to(device), device, selected.channels_last, selected.runtime, same)


def _as_known(data: Data, inputs: Inputs, node: dict, path: Path) -> Data:
    """A data set as a stored model knows it: in the size of its images, normalized and numbered as it was trained.

    Raises:
        UserError: it is of other classes, or has images of another kind.
    """
    if data.image_size != inputs.image_size and node.get("image_size", 0) is None:  # that of the images
        data = load({**node, "image_size": inputs.image_size})
    if data.input_shape != (inputs.channels, inputs.image_size, inputs.image_size):
        size = f"{inputs.channels}x{inputs.image_size}x{inputs.image_size}"
        raise UserError(
            f"{path}: the model is for images of {size}, {data.name} has {'x'.join(map(str, data.input_shape))}"
        )
    inputs.require_classes(data.classes, f"{path}: the model")
    return data.normalized_for(inputs).numbered_for(inputs)
