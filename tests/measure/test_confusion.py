"""The confusion matrix against a count by hand."""

from collections import Counter

import torch
from torch import nn

from effdl.measure.confusion import ClassAccuracy, class_accuracies, confusion_matrix


def batches(count=40, classes=4):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 1, 2, 2, generator=generator)
    labels = torch.randint(classes, (count,), generator=generator)
    return [(images[:25], labels[:25]), (images[25:], labels[25:])]


def test_every_image_is_counted_once_by_its_label_and_the_answer():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 4))
    matrix = confusion_matrix(model, batches(), 4)
    model.eval()
    pairs = Counter(
        (int(label), int(model(image[None]).argmax()))
        for images, labels in batches()
        for image, label in zip(images, labels, strict=True)
    )
    assert matrix.dtype == torch.int64
    assert {(y, x): int(matrix[y, x]) for y in range(4) for x in range(4) if matrix[y, x]} == pairs
    assert matrix.sum() == 40


def test_a_class_is_taken_for_the_one_that_it_is_mistaken_for_most():
    matrix = torch.tensor([[5, 0, 0], [1, 2, 3], [0, 0, 0]])
    assert class_accuracies(matrix) == [ClassAccuracy(5, 5, None), ClassAccuracy(6, 2, 2), ClassAccuracy(0, 0, None)]
