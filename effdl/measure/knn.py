"""Accuracy of a nearest-neighbour classifier on features: what they tell apart without any training."""

import torch
from torch import Tensor
from torch.nn import functional as F

_SIMILARITIES = 1 << 24  # that are in memory at once: 64 MiB


@torch.no_grad()
def knn_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    features: Tensor,
    labels: Tensor,
    k: int = 20,
    temperature: float = 0.07,
) -> float:
    """Top-1 accuracy of a weighted vote of the `k` nearest training features, from 0 to 1.

    Near is what has a large cosine similarity s, and a neighbour votes for its label with the weight exp(s/temperature)
    (Wu et al. 2018, "Unsupervised feature learning via non-parametric instance discrimination", section 3.4).

    Args:
        train_features: float (N, D).
        train_labels: int64 (N,), from 0; none is negative.
        features, labels: those that are classified, (n, D) and (n,), on the same device.
        k: neighbours that vote; of fewer than `k` training features all do.
    """
    known, classes = F.normalize(train_features.float()), int(train_labels.max()) + 1
    hits, chunk = 0, max(1, _SIMILARITIES // len(known))
    for asked, truth in zip(features.split(chunk), labels.split(chunk), strict=True):
        similarity, nearest = (F.normalize(asked.float()) @ known.T).topk(min(k, len(known)), dim=1)
        # Less the largest, which changes all votes of an image by one factor: none overflows, not all become zero.
        weights = ((similarity - similarity[:, :1]) / temperature).exp()
        votes = weights.new_zeros(len(asked), classes).scatter_add_(1, train_labels[nearest], weights)
        hits += int((votes.argmax(1) == truth).sum())
    return hits / len(labels)
