"""Whether a model still works when its layers stand in sequences, with quantizers before or after them."""

import copy
from collections.abc import Iterable

import torch
from torch import nn

from effdl.utils.errors import UserError


@torch.no_grad()
def check_wrapping(model: nn.Module, names: Iterable[str], input_shape: tuple[int, int, int], method: str) -> None:
    """Check that layers can be replaced by sequences that contain them.

    Args:
        names: of the layers.
        method: for messages: what puts them into sequences, and what else may be done.

    Raises:
        UserError: the code of the model reads attributes of such a layer, which a sequence does not have.
    """
    trial, device = copy.deepcopy(model).eval(), next(model.parameters()).device
    for name in names:
        trial.set_submodule(name, nn.Sequential(trial.get_submodule(name)))
    try:
        trial(torch.zeros(1, *input_shape, device=device))
    except AttributeError as error:
        reason = "the code of this model reads attributes of layers that get quantizers"
        raise UserError(f"{method}: {reason}: {error}") from error
