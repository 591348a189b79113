"""Stratified splits: every part gets each class's share, to rounding, and an exact total.

All three deal out one list: the images shuffled, then sorted by class. A class is then a run of that list, so
any evenly spaced choice takes its share of each run, rounded down or up. The seed alone decides; torch's
global generator is neither read nor moved.
"""

import torch
from torch import Tensor


def stratified_subset(labels: Tensor, size: int, seed: int) -> Tensor:
    """Sorted indices (``size``,) of a stratified random subset of ``labels`` (N,), size <= N."""
    position = torch.arange(len(labels) + 1) * size // max(len(labels), 1)
    chosen = position[1:] > position[:-1]  # evenly spaced, exactly ``size`` times true
    return _shuffled_by_class(labels, seed)[chosen].sort().values


def stratified_holdout(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Sorted indices ``(kept, held)``, where held is a stratified subset of round(fraction * N) of the labels."""
    held = stratified_subset(labels, round(fraction * len(labels)), seed)
    return _others(held, len(labels)), held


def stratified_folds(labels: Tensor, folds: int, seed: int) -> list[Tensor]:
    """Sorted indices of ``folds`` disjoint parts that cover all labels; their sizes differ by at most one."""
    order = _shuffled_by_class(labels, seed)
    return [order[fold::folds].sort().values for fold in range(folds)]


def _shuffled_by_class(labels: Tensor, seed: int) -> Tensor:
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return shuffled[labels[shuffled].argsort(stable=True)]


def _others(indices: Tensor, length: int) -> Tensor:
    mask = torch.ones(length, dtype=torch.bool)
    mask[indices] = False
    return mask.nonzero().flatten()
