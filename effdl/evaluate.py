"""Measuring a stored model: what a run does after every step, and ``effdl evaluate`` again later.

The model is always the one that was read back from its file, so every number is that of the file.
"""

from pathlib import Path

import torch
from torch import nn

from effdl import artifact
from effdl.data.load import Data
from effdl.data.loader import prepared
from effdl.data.source import Images
from effdl.deploy.latency import deployed_latency
from effdl.errors import UserError
from effdl.measure.accuracy import accuracy
from effdl.measure.bits import summary
from effdl.measure.latency import throughput
from effdl.measure.layers import per_layer
from effdl.measure.macs import macs
from effdl.measure.size import count, file_bytes
from effdl.models.build import build
from effdl.models.structure import apply
from effdl.place import Place


def load_model(path: str | Path, *, trusted: bool = False) -> nn.Module:
    """The model in a stored file, in eval mode, with bit-identical weights; architecture and all come from the file.

    Args:
        path: a ``model.safetensors`` of a run folder, or the run folder.
        trusted: also build a model whose code is not part of effdl.

    Raises:
        UserError: the file is missing, damaged, or names code that may not be run.
    """
    path = Path(path)
    state, model = artifact.read(path / "model.safetensors" if path.is_dir() else path)
    if "config" not in model:
        raise UserError(f"{path} does not say which model it holds: it was not stored by effdl")
    network = build(
        {**model["config"], "weights": None}, model["channels"], model["image_size"], model["classes"], trusted=trusted
    )
    network = apply(network, model.get("structure", []))
    network.load_state_dict(state, assign=True)  # not copied: a half-precision model stays one
    return network.eval()


def read_description(path: str | Path) -> dict:
    """What a stored file (or that of a run folder) says of its model: architecture and stage."""
    path = Path(path)
    return artifact.read(path / "model.safetensors" if path.is_dir() else path)[1]


def measure(
    path: Path,
    data: Data,
    place: Place,
    *,
    topk: list[int],
    batch_size: int,
    split: str = "test",
    trusted: bool = False,
) -> dict:
    """Everything there is to say about a stored model; accuracy on a split of the data set, ``layers`` a row each."""
    model = load_model(path, trusted=trusted).to(place.device)
    shape, threads = data.input_shape, torch.get_num_threads()
    stored = artifact.storage(path)
    operations, layers = macs(model, shape), per_layer(model, shape, stored)
    float_bits = 8 * next(parameter.dtype.itemsize for parameter in model.parameters())
    images: Images = getattr(data, split)
    return {
        **accuracy(model, prepared(images, data, batch_size, place.device), topk),
        **count(model),
        **operations,
        **summary(layers, operations["macs_nonzero"], float_bits),
        "size_bytes": file_bytes(path),
        **deployed_latency(path, model, stored, artifact.grids(path), shape, place, threads),
        **throughput(model, shape, device=place.device, threads=threads),
        "layers": layers,
    }
