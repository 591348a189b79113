"""Probing a network: how well the features of each of its parts tell the classes of a data set."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from effdl.data.build import Data
from effdl.data.loader import normalized_batches
from effdl.measure.eval_mode import example_input
from effdl.measure.knn import knn_accuracy
from effdl.measure.linear_probe import linear_probe
from effdl.measure.part_features import costs, part_features
from effdl.models.parts import Part, parts
from effdl.utils.errors import UserError

_MOST_BYTES = 1 << 30  # of features in memory at once, but those of one part


def probe(model: nn.Module, data: Data, batch_size: int, device: torch.device) -> Iterator[dict]:
    """A row for each part of a network but its last layer, in the order of use: how well its features tell the classes.

    Linear classifier and nearest neighbours know the training split; the classifier's penalty is chosen on the
    validation split. Keys: ``part``, ``macs`` up to its end, ``feature_width`` (the number of its features),
    ``linear_top1``, ``knn_top1`` and both with ``val_``, and ``linear_penalty``.

    Raises:
        UserError: there is no validation split, or nothing before the last layer.
    """
    if data.val is None:
        raise UserError("probe: the penalty is chosen on a validation split: set dataset.val above 0")
    *trunk, _ = parts(model, example_input(model, (1, *data.input_shape)))
    if not trunk:
        raise UserError("probe: this model has one layer only, nothing is before it")
    return _rows(model, trunk, data, batch_size, device)


def _rows(model: nn.Module, trunk: list[Part], data: Data, batch_size: int, device: torch.device) -> Iterator[dict]:
    """The rows of `probe`."""
    spent = dict(zip([part.name for part in trunk], costs(model, trunk, data.input_shape), strict=True))
    splits = [data.train, data.val, data.test]
    labels = [images.labels.cpu() for images in splits]
    for group in _groups(trunk, {name: width for name, (_, width) in spent.items()}, sum(map(len, labels))):
        found = [
            part_features(model, group, normalized_batches(images, data, batch_size, device), len(images))
            for images in splits
        ]
        for number, part in enumerate(group):
            macs, width = spent[part.name]
            row = {"part": part.name, "macs": macs, "feature_width": width}
            yield row | _accuracies([features[number] for features in found], labels)


def _accuracies(features: list[Tensor], labels: list[Tensor]) -> dict:
    """What both classifiers reach on features of the three splits, each (N, D)."""
    known, (train, val, test) = (features[0], labels[0]), zip(features, labels, strict=True)
    linear = linear_probe(*train, *val)
    return {
        "val_linear_top1": linear.accuracy(*val),
        "linear_top1": linear.accuracy(*test),
        "val_knn_top1": knn_accuracy(*known, *val),
        "knn_top1": knn_accuracy(*known, *test),
        "linear_penalty": linear.penalty,
    }


def _groups(trunk: list[Part], width: dict[str, int], images: int) -> Iterator[list[Part]]:
    """The parts in order, so many at once as their features find room: each group is one pass over the images."""
    group: list[Part] = []
    for part in trunk:
        if group and 4 * images * sum(width[one.name] for one in (*group, part)) > _MOST_BYTES:
            yield group
            group = []
        group.append(part)
    yield group
