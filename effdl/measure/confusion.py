"""Which classes a model takes for which: the confusion matrix."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from effdl.measure.eval_mode import eval_mode


class ClassAccuracy(NamedTuple):
    """How a class fares: its images, those that are recognized, and the class that it is most often taken for.

    `mistaken_for` is the number of that class, the first of equals; None if no image is mistaken.
    """

    images: int
    correct: int
    mistaken_for: int | None


def confusion_matrix(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], classes: int) -> Tensor:
    """Number of images by label and answer: int64 (classes, classes), a row for each label, a column for each answer.

    `batches` yields (images, labels): float (n, C, H, W) and int64 (n,). The answer is the class of the highest logit.
    """
    first = next((p for p in model.parameters() if p.is_floating_point()), None)
    device, dtype = (first.device, first.dtype) if first is not None else (None, None)
    pairs = torch.zeros(classes**2, dtype=torch.int64, device=device)
    with eval_mode(model), torch.inference_mode():
        for images, labels in batches:
            answers = model(images.to(device, dtype)).argmax(dim=1)
            pairs += torch.bincount(labels.to(answers.device) * classes + answers, minlength=classes**2)
    return pairs.view(classes, classes).cpu()


def class_accuracies(matrix: Tensor) -> list[ClassAccuracy]:
    """How each class fares, from a confusion matrix (classes, classes)."""
    mistakes = matrix.clone().fill_diagonal_(0)
    return [
        ClassAccuracy(int(row.sum()), int(row[label]), int(wrong.argmax()) if wrong.any() else None)
        for label, (row, wrong) in enumerate(zip(matrix, mistakes, strict=True))
    ]
