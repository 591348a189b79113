"""The SynFlow criterion: how much of the network's synaptic flow passes through a weight. It needs no data.

Tanaka, Kunin, Yamins & Ganguli 2020, "Pruning neural networks without any data by iteratively conserving synaptic
flow", section 5 and algorithm 1. Since a layer's scores sum to the whole flow, a small layer's weights score high, and
pruned in many small passes (`passes` of the method, 100 in the paper) no layer loses all weights early.
"""

import torch
from torch import Tensor, nn

from effdl.nn.layers import weights
from effdl.nn.parametrizations import materialize_parametrizations
from effdl.nn.quantizers import ActivationQuantizer
from effdl.training.trainer import Trainer
from effdl.utils.errors import RunError, UserError

_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Tanh, ActivationQuantizer)
_CENTERING = (nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.MultiheadAttention)


def synflow(model: nn.Module, trainer: Trainer) -> list[Tensor]:
    """``|w * dR/dw|``, with R the sum of the outputs of the network of absolute weights for an image of ones.

    Raises:
        UserError: the network centers its activations, so that no flow passes through it.
        RunError: it is so deep that the flow overflows.
    """
    _check_norms(model)
    flow = positive(model)
    tensors = [getattr(module, name) for _, module, name in weights(flow)]
    with torch.enable_grad():
        total = _total(flow, trainer.input_shape)
        gradients = torch.autograd.grad(total, tensors, materialize_grads=True)
    if not total.isfinite():
        raise RunError(_overflow(total))
    return [(tensor.detach() * gradient).abs() for tensor, gradient in zip(tensors, gradients, strict=True)]


@torch.no_grad()
def _check(model: nn.Module, input_shape: tuple[int, int, int]) -> None:
    """Check, before any training, that a finite flow passes through a network.

    Raises:
        UserError: none does.
    """
    _check_norms(model)
    if not (total := _total(positive(model), input_shape)).isfinite():
        raise UserError(_overflow(total))


synflow.check = _check


def _check_norms(model: nn.Module) -> None:
    """Refuse (UserError) a network that centers its activations."""
    for name, module in model.named_modules():
        if isinstance(module, _CENTERING):
            raise UserError(
                f"synflow: {name} is a {type(module).__name__}, through which no flow passes: use another criterion"
            )


def _total(flow: nn.Module, input_shape: tuple[int, int, int]) -> Tensor:
    """R: the sum of the outputs of a network for an image of ones, ()."""
    weight = next(flow.parameters())
    return flow(torch.ones(1, *input_shape, dtype=weight.dtype, device=weight.device)).sum()


def _overflow(total: Tensor) -> str:
    """What to say of a flow that is not finite."""
    return f"synflow: the flow through this network is {total}: use another criterion"


@torch.no_grad()
def positive(model: nn.Module) -> nn.Module:
    """A copy of a model with absolute weights and without biases, running means and saturating activations.

    Batch norm is that of eval mode, a division by the running deviation. The copy is in double precision, if the device
    has it, since the flow grows exponentially with depth.
    """
    flow = materialize_parametrizations(model).eval()
    for parent in list(flow.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _ACTIVATIONS):
                setattr(parent, name, nn.Identity())  # for positive inputs they are the identity, exactly or nearly
    for name, tensor in [*flow.named_parameters(), *flow.named_buffers()]:
        tensor.zero_() if name.rpartition(".")[2] in ("bias", "running_mean") else tensor.abs_()
    return flow if next(flow.parameters()).device.type == "mps" else flow.double()
