"""Measuring a stored model: what a run does after every step, and ``effdl evaluate`` again later.

The model is always the one that was read back from its file, so every number is that of the file.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from effdl.data.build import Data
from effdl.data.loader import normalized_batches
from effdl.data.source import Images
from effdl.data.split import stratified_subset
from effdl.deploy.latency import as_deployed
from effdl.deploy.qdq import fits_int8
from effdl.measure.accuracy import accuracy
from effdl.measure.activation_memory import peak_activation_bytes
from effdl.measure.bits import summary, zero_points
from effdl.measure.eval_mode import eval_mode
from effdl.measure.knn import knn_accuracy
from effdl.measure.layers import per_layer
from effdl.measure.macs import macs, trace
from effdl.measure.metrics import on_validation
from effdl.measure.size import count, file_bytes
from effdl.models import storage
from effdl.models.features import features
from effdl.models.stored import load_model
from effdl.nn.row_buffer import joined
from effdl.utils.errors import RunError

_Batches = Iterable[tuple[Tensor, Tensor]]  # normalized float images (n, C, H, W) and labels (n,)
_SAMPLE = 1000  # training images that are measured where there is no validation split
_Metric = Callable[[nn.Module, _Batches], float | None]


def evaluate(
    path: Path,
    data: Data,
    device: torch.device,
    *,
    topk: list[int],
    batch_size: int,
    metrics: dict[str, _Metric] | None = None,
    split: str = "test",
    dense: nn.Module | None = None,
    channels_last: bool = False,
    runtime: str = "eager",
    trusted: bool = False,
    classifies: bool = True,
) -> dict:
    """Everything there is to say about a stored model.

    Args:
        metrics: the user's own, by the key that they get; each is given the model and the batches of the split.
        split: of the data set, for the accuracy. With ``test`` the validation split is measured too, under keys that
            begin with ``val_``: every choice reads these; they are None if there is no such split. So is, as
            ``train_top1``, a sample of the training images, of the length of the validation split.
        dense: the model to compare its speed with, on `device`.
        channels_last: the memory layout in which it is timed, for which a run takes that of its training.
        runtime: in which a float model is timed, see `as_deployed`.
        trusted: also build a model whose code is not part of effdl.
        classifies: False after pretraining: all that needs its last layer is None, and its features are measured.

    Returns:
        The keys of a stage's row, and ``layers``, a row each.
    """
    model = load_model(path, trusted=trusted).to(device)
    shape, threads = data.input_shape, torch.get_num_threads()
    stored, grids = storage.breakdown(path), storage.quant_grids(path)
    traced = trace(model, shape)
    operations, layers = macs(model, shape, traced), per_layer(model, shape, stored, traced)
    float_bits = 8 * next(parameter.dtype.itemsize for parameter in model.parameters())

    def answers(images: Images) -> dict:
        batches = partial(normalized_batches, images, data, batch_size, device)
        if not classifies:
            return dict.fromkeys([*accuracy(model, [], topk), *(metrics or {})])
        return {**accuracy(model, batches(), topk), **_own_metrics(model, metrics or {}, batches)}

    found = answers(getattr(data, split))
    if split == "test":
        validated = answers(data.val) if data.val is not None else {}
        found |= {on_validation(key): validated.get(key) for key in found}
        found["train_top1"] = _train_top1(model, data, batch_size, device) if classifies else None
    if not classifies:
        found[on_validation("knn_top1")] = _neighbours(model, data, batch_size, device)
    return {
        **found,
        **count(model),
        "zero_points": zero_points(model),
        **operations,
        **summary(layers, operations["macs_nonzero"], float_bits),
        "size_bytes": file_bytes(path),
        "peak_activation_bytes": peak_activation_bytes(model, shape, 1 if fits_int8(model, grids) else float_bits // 8),
        **as_deployed(
            model, dense, stored, grids, shape, device, threads, channels_last=channels_last, runtime=runtime
        ),
        "layers": layers,
    }


def _neighbours(model: nn.Module, data: Data, batch_size: int, device: torch.device) -> float:
    """Accuracy of the nearest of all training images on the validation split."""

    def found(images: Images) -> Tensor:
        batches = normalized_batches(images, data, batch_size, device)
        return joined((features(model, batch) for batch, _ in batches), len(images))

    with eval_mode(model):
        return knn_accuracy(found(data.train), data.train.labels, found(data.val), data.val.labels)


def _train_top1(model: nn.Module, data: Data, batch_size: int, device: torch.device) -> float:
    """Top-1 on training images, as many as validate: always the same ones, of each class its share."""
    count = min(len(data.val or []) or _SAMPLE, len(data.train))
    images = data.train.select(stratified_subset(data.train.labels, count, seed=0))
    return accuracy(model, normalized_batches(images, data, batch_size, device), (1,))["top1"]


def _own_metrics(
    model: nn.Module, metrics: dict[str, _Metric], batches: Callable[[], _Batches]
) -> dict[str, float | None]:
    """What the user's own metrics say of a model, in eval mode and without gradients.

    Raises:
        RunError: one gives something else than a number or None.
    """
    found = {}
    for key, metric in metrics.items():
        with eval_mode(model):
            value = metric(model, batches())
        try:
            found[key] = None if value is None else float(value)
        except (TypeError, ValueError) as error:
            raise RunError(f"metric={key} gives {value!r}: it must be a number or None") from error
    return found
