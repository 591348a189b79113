"""Layers in sequences with quantizers before or after them: what enters them, and whether a model allows it."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from effdl.nn.hooks import forward_hooks
from effdl.nn.layers import weights
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


@torch.no_grad()
def layer_inputs(model: nn.Module, images: Tensor) -> dict[nn.Module, Tensor]:
    """The inputs of the layers with weights, by layer; layers whose weights another module reads are left out."""
    found: dict[nn.Module, Tensor] = {}

    def note(module: nn.Module, arguments: tuple) -> None:
        found[module] = arguments[0]

    layers = [module for _, module, name in weights(model) if name == "weight"]
    with forward_hooks(layers, note, before=True):
        model(images)
    return found
