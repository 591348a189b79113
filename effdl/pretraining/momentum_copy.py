"""Copies of networks whose weights follow those of the network itself, slower and slower."""

import math
from collections.abc import Iterable

import torch
from torch import nn


def follow(copied: nn.Module, own: Iterable[nn.Parameter], momentum: float, progress: float) -> None:
    """Move the weights of a copy towards those of the network.

    Grill et al. 2020, "Bootstrap Your Own Latent", section 3.3: what a step keeps of the copy grows to 1 as half a
    cosine.

    Args:
        own: the network's parameters, in the order of the copy's.
        momentum: part of the copy's weights that a step keeps, at first.
        progress: of the training, 0 to 1.
    """
    step = (1 - momentum) * (math.cos(math.pi * progress) + 1) / 2
    torch._foreach_lerp_(list(copied.parameters()), [parameter.detach() for parameter in own], step)
