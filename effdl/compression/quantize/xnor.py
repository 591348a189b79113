"""Binary weights with one scale for each output, and layers whose inputs are signs, too.

Rastegari et al. 2016, "XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks": binary-weight
networks (section 3.1), and XNOR networks (section 3.2) with ``activations=true``.

A layer of an XNOR network stands behind a batch norm and a sign (figure 3), because its inputs often come from a ReLU,
all of whose signs are the same. What follows the layer stays: "We can insert a non-binary activation (e.g., ReLU) after
binary convolution." The scales K of the inputs (equation 11) are left out, as in the authors' code: "the scaling
factors for the weights (alpha) is much more effective than the scaling factors for the inputs (beta). Removing beta
reduces the accuracy by a small margin (less than 1% top-1 alexnet)" (section 4.2). A convolution pads signs with zeros.
"""

import copy
from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn

from effdl.compression.method import compression_method
from effdl.compression.quantize.binary import (
    check_layers,
    inner_weights,
    quantize_weights,
    renew_statistics,
    signs,
    train_quantized,
)
from effdl.compression.quantize.wrapping import check_wrapping, layer_inputs
from effdl.config.types import Natural, Positive
from effdl.nn.fake_quant import QuantGrid
from effdl.nn.layers import input_width, weights
from effdl.nn.quantizers import ActivationSign
from effdl.nn.token_norm import TokenNorm
from effdl.training.trainer import Trainer
from effdl.utils.errors import UserError


def _check(
    model: nn.Module,
    first_last: bool,
    input_shape: tuple[int, int, int],
    activations: bool = False,
    batch_size: int | None = None,
) -> None:
    """Check that there are layers to binarize, and that signs can be put before them.

    Raises:
        UserError: there is none, a batch is too small for a norm, or see `check_wrapping`.
    """
    check_layers(model, first_last)
    if activations:
        key, trial = "compression.xnor.activations=true (allowed is false)", copy.deepcopy(model).eval()
        found = _inputs(trial, torch.zeros(1, *input_shape, device=next(model.parameters()).device), first_last)
        if not found:
            raise UserError(f"{key}: the model calls no layer but the first that would be binarized")
        check_wrapping(model, found, input_shape, key)
        single = [name for name, (layer, inputs) in found.items() if inputs.numel() == input_width(layer)]
        if single and batch_size == 1:
            raise UserError(f"{key}: a batch of one image is too small for a batch norm before layer {single[0]}")


@compression_method("values", _check)
def xnor(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Literal["binary"],
    first_last: bool,
    activations: bool = False,
    epochs: Natural | None,
    lr_scale: Positive,
) -> nn.Module:
    """Replace the weights of every output by their signs times their mean magnitude, and train on.

    Args:
        level: the only level is "binary".
        first_last: whether the first and the last layer are binarized, too. (The paper leaves them alone.)
        activations: whether the inputs of these layers become signs, too, behind a batch norm of their own. The images
            never do (as in Courbariaux et al. 2016, "Binarized Neural Networks", section 1.6), so that the inputs of
            the first layer stay what they are, and so do those of a layer whose weights another module reads.
        epochs, lr_scale: see `binary.train_quantized`.

    Raises:
        UserError: the model has no layer to binarize.
    """
    if activations:
        images = trainer.calibration_batches(1)[0][0]
        for name, (layer, inputs) in _inputs(model, images, first_last).items():
            parts = OrderedDict(norm=_norm_of(layer, inputs).to(inputs), sign=ActivationSign(), layer=layer)
            model.set_submodule(name, nn.Sequential(parts).train(layer.training))
    quantize_weights(model, first_last, ScaledBinary)
    if activations:
        renew_statistics(model, trainer)
    return train_quantized(model, trainer, epochs, lr_scale)


def _inputs(model: nn.Module, images: Tensor, first_last: bool) -> dict[str, tuple[nn.Module, Tensor]]:
    """The layers whose inputs become signs, by name, and the inputs that they have for these images."""
    found, binarized = layer_inputs(model, images), {module for module, _ in inner_weights(model, first_last)}
    behind = [(name, module) for name, module, _ in weights(model)][1:]
    return {name: (module, found[module]) for name, module in behind if module in binarized & found.keys()}


def _norm_of(layer: nn.Module, inputs: Tensor) -> nn.Module:
    """A batch norm for the inputs of a layer: of their channels, or of the features that a linear layer multiplies."""
    if isinstance(layer, nn.Linear):
        return (nn.BatchNorm1d if inputs.ndim == 2 else TokenNorm)(input_width(layer))
    return getattr(nn, f"BatchNorm{inputs.ndim - 2}d")(input_width(layer))


class ScaledBinary(nn.Module):
    """Parametrization that gives a weight w of each output the value ``scale * sign(w)``; zeros stay zero.

    In training the scale is the mean magnitude of the output's weights and the gradient that of section 3.1: through
    the scale, and through the sign where |w| <= 1. Outside training the last scale of the training is used, so that the
    weights always lie on the grid.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", mean_magnitude(weight).detach())

    def forward(self, weight: Tensor) -> Tensor:
        scale = self.scale
        if self.training:
            scale = mean_magnitude(weight)
            self.scale.copy_(scale.detach())
        through = weight.clamp(-1, 1)
        return scale * (signs(weight, weight > 0) + (through - through.detach()))

    def grid(self) -> QuantGrid:
        """The integer grid of the weights: one bit, and a scale for each output."""
        return QuantGrid(self.scale, 1)


def mean_magnitude(weight: Tensor) -> Tensor:
    """Mean of ``|w|`` over the non-zero weights of each output (equation 6): (outputs, 1, ...) of (outputs, ...)."""
    dims = tuple(range(1, weight.ndim))
    count = (weight != 0).sum(dims, keepdim=True).clamp(min=1)
    return weight.abs().sum(dims, keepdim=True) / count
