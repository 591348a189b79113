"""Eval mode and example inputs, which all measurements share."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.nn.modes import restored_modes


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put `model` in eval mode without gradients; the mode of every module is restored afterwards.

    Parametrizations (masks, quantizers) are computed once, not in every forward pass: the stored model has them
    materialized, so neither its latency nor its MACs include them.
    """
    with restored_modes(model), torch.no_grad(), parametrize.cached():
        model.eval()
        yield


def example_input(model: nn.Module, shape: tuple[int, ...], device: torch.device | str | None = None) -> torch.Tensor:
    """A fixed standard normal tensor of this shape, in the model's dtype; on `device`, by default the model's.

    Drawn from a generator of its own, so the global random state is untouched.
    """
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return values.to(device=like.device if device is None else device, dtype=like.dtype)
