"""Which tensors of a model are its *weights*: those of convolutions, linear layers and attention projections.

Compression acts on these and `weight_sparsity` counts them; biases, norms and embeddings are neither.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from effdl.utils.errors import UserError

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)


def weights(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Yield ``(layer name, module, attribute)`` of every weight tensor, in the order of ``named_modules``.

    ``getattr(module, attribute)`` is the tensor as the forward pass sees it, parametrizations applied.
    """
    for name, module in model.named_modules():
        if isinstance(module, (*CONVOLUTIONS, nn.Linear)):
            yield name, module, "weight"
        elif isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
            yield name, module, "in_proj_weight"  # out_proj is a Linear of its own


def l1_norm(model: nn.Module) -> Tensor:
    """The sum of all absolute weights: a scalar with a gradient."""
    return torch.stack([getattr(module, name).abs().sum() for _, module, name in weights(model)]).sum()


def input_width(layer: nn.Module) -> int:
    """Number of the features of a linear layer's input, or of the channels of a convolution's."""
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


def plain_type(module: nn.Module) -> type[nn.Module]:
    """A module's class before any parametrization; PyTorch gives a parametrized module a subclass of its own."""
    return type(module).__bases__[0] if parametrize.is_parametrized(module) else type(module)


def excluded(names: list[str], patterns: list[str]) -> set[str]:
    """The names that match any of the patterns (``*``, ``?``, ``[...]``).

    Raises:
        UserError: a pattern matches no name.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UserError(f"exclude={pattern}: fits no layer (layers: {', '.join(names)})")
    return {name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)}


def check_exclude(model: nn.Module, exclude: list[str]) -> None:
    """Check that every pattern matches the name of a layer with weights.

    Raises:
        UserError: a pattern matches none.
    """
    excluded([name for name, _, _ in weights(model)], exclude)
