"""Measuring a stored model: what a run does after every step, and ``effdl evaluate`` again later.

The model is always the one that was read back from its file, so every number is that of the file.
"""

from pathlib import Path

import torch

from effdl.data.build import Data
from effdl.data.loader import normalized_batches
from effdl.data.source import Images
from effdl.deploy.latency import deployed_latency
from effdl.measure.accuracy import accuracy
from effdl.measure.bits import summary
from effdl.measure.latency import throughput
from effdl.measure.layers import per_layer
from effdl.measure.macs import macs
from effdl.measure.size import count, file_bytes
from effdl.models import storage
from effdl.models.stored import load_model


def evaluate(
    path: Path,
    data: Data,
    device: torch.device,
    *,
    topk: list[int],
    batch_size: int,
    split: str = "test",
    trusted: bool = False,
) -> dict:
    """Everything there is to say about a stored model; accuracy on a split of the data set, ``layers`` a row each."""
    model = load_model(path, trusted=trusted).to(device)
    shape, threads = data.input_shape, torch.get_num_threads()
    stored = storage.breakdown(path)
    operations, layers = macs(model, shape), per_layer(model, shape, stored)
    float_bits = 8 * next(parameter.dtype.itemsize for parameter in model.parameters())
    images: Images = getattr(data, split)
    return {
        **accuracy(model, normalized_batches(images, data, batch_size, device), topk),
        **count(model),
        **operations,
        **summary(layers, operations["macs_nonzero"], float_bits),
        "size_bytes": file_bytes(path),
        **deployed_latency(path, model, stored, storage.quant_grids(path), shape, device, threads),
        **throughput(model, shape, device=device, threads=threads),
        "layers": layers,
    }
