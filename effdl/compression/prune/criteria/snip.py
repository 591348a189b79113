"""The SNIP criterion: how much the loss would change if the connection were scaled down.

Lee, Ajanthan & Torr 2019, "SNIP: Single-shot Network Pruning based on Connection Sensitivity", equations 3 to 6. There
it prunes an untrained network: that is ``epochs=0`` for the first training and `epochs` for the one after pruning.
"""

from torch import Tensor, nn

from effdl.compression.prune.criteria.gradients import weight_gradients
from effdl.config.types import Count
from effdl.training.trainer import Trainer


def snip(model: nn.Module, trainer: Trainer, *, images: Count) -> list[Tensor]:
    """``|w * dL/dw|`` with L the mean loss over calibration images, as if they were a single batch.

    Gradients of different images may cancel here, unlike in `taylor.taylor`, which squares those of each batch. The
    paper divides by the sum of all scores, which does not change their order and is left out.

    Args:
        images: number of calibration images.
    """
    batches = trainer.calibration_batches(images)  # several batches, to save memory
    count, total = sum(len(labels) for _, labels in batches), []
    for inputs, labels in batches:
        tensors, gradients = weight_gradients(model, inputs, labels)
        parts = [gradient * (len(labels) / count) for gradient in gradients]
        total = [a + b for a, b in zip(total, parts, strict=True)] if total else parts
    return [(tensor * gradient).abs() for tensor, gradient in zip(tensors, total, strict=True)]
