"""The loss of the labels of a batch, of which some images may have none."""

from torch import Tensor
from torch.nn import functional as F


def label_loss(logits: Tensor, targets: Tensor, smoothing: float, *, all_labelled: bool = True) -> Tensor:
    """Cross entropy (Szegedy et al. 2016, section 7, with label smoothing), (): the mean over the batch.

    An image without a label adds 0 and counts in the mean, so that every image has the same weight in a loss that is
    made of this one and a teacher's.

    Args:
        logits: (n, classes).
        targets: class indices, int64 (n,), below 0 without a label; or class probabilities, (n, classes), which sum to
            the part of a blended image that has a label.
        all_labelled: whether it is known that every image has a label.
    """
    if all_labelled:
        return F.cross_entropy(logits, targets, label_smoothing=smoothing)
    labelled = targets >= 0 if targets.dim() == 1 else targets.sum(dim=1) > 0
    targets = targets.clamp(min=0)
    return (F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="none") * labelled).mean()
