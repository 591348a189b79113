"""The shape of the views that a function makes of images."""

from collections.abc import Callable

import torch


def view_shape(views: Callable, input_shape: tuple[int, int, int]) -> tuple[int, ...]:
    """(views, C, H, W) of what `views` makes of an image (C, H, W); draws no random numbers of the run."""
    with torch.random.fork_rng(devices=[]):
        found, _ = views(torch.zeros(1, *input_shape), torch.zeros(1))
    return tuple(found.shape[1:])
