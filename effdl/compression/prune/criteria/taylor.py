"""The Taylor criterion: the squared change of the loss, to first order, when a weight is set to zero.

Molchanov, Mallya, Tyree, Frosio & Kautz 2019, "Importance Estimation for Neural Network Pruning", equation 8, for
single weights; the first-order expansion is that of Molchanov et al. 2017, section 2.2.
"""

from torch import Tensor, nn

from effdl.compression.prune.criteria.gradients import weight_gradients
from effdl.config.types import Count
from effdl.training.trainer import Trainer


def taylor(model: nn.Module, trainer: Trainer, *, images: Count, batch_size: Count) -> list[Tensor]:
    """Mean over batches of ``(w * dL/dw)^2``.

    The gradients of different batches cannot cancel, unlike those in `snip.snip`, because each is squared.

    Args:
        images: number of calibration images.
        batch_size: number of images in each batch.
    """
    scores: list[Tensor] = []
    batches = trainer.calibration_batches(images, batch_size)
    for inputs, labels in batches:
        squares = [
            (w * g).square() / len(batches) for w, g in zip(*weight_gradients(model, inputs, labels), strict=True)
        ]
        scores = [a + b for a, b in zip(scores, squares, strict=True)] if scores else squares
    return scores
