"""Classification accuracy and loss over a set of images."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from effdl.measure.eval_mode import eval_mode


def accuracy(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], topk: Sequence[int] = (1, 5)) -> dict:
    """Top-k accuracies, mean cross entropy and number of images.

    `batches` yields (images, labels): float (n, C, H, W) and int64 (n,). Returns ``top<k>`` (fraction of images whose
    label is among the k highest logits, 0 to 1), ``loss`` (mean over images, nats) and ``images``. A ``top<k>`` with
    k >= number of classes would always be 1 and is None; without images all values but ``images`` are None.
    """
    first = next((p for p in model.parameters() if p.is_floating_point()), None)
    device, dtype = (first.device, first.dtype) if first is not None else (None, None)
    images_seen, classes = 0, 0
    hits, loss = 0, 0.0  # become tensors on the device, read once at the end: no synchronization per batch
    with eval_mode(model), torch.inference_mode():
        for images, labels in batches:
            images, labels = images.to(device, dtype, non_blocking=True), labels.to(device, non_blocking=True)
            logits = model(images)
            images_seen, classes = images_seen + len(labels), logits.shape[1]
            hits = hits + _topk_hits(logits, labels, topk)
            loss = loss + F.cross_entropy(logits.float(), labels, reduction="none").to(sum_dtype(labels.device)).sum()
    if images_seen == 0:
        return {**{f"top{k}": None for k in topk}, "loss": None, "images": 0}
    tops = {
        f"top{k}": count / images_seen if k < classes else None for k, count in zip(topk, hits.tolist(), strict=True)
    }
    return {**tops, "loss": float(loss) / images_seen, "images": images_seen}


def sum_dtype(device: torch.device) -> torch.dtype:
    """The widest floating-point type of a device: Apple's GPUs have no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def _topk_hits(logits: Tensor, labels: Tensor, topk: Sequence[int]) -> Tensor:
    """For each k, how many rows of `logits` (n, classes) have their label among the k highest: int64 (len(topk),)."""
    ranked = logits.topk(min(max(topk), logits.shape[1]), dim=1).indices  # (n, max k), best first
    hit = ranked == labels[:, None]
    return torch.stack([hit[:, :k].sum() for k in topk])
