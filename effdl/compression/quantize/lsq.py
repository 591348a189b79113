"""Learned step size quantization: weights and activations of a few bits, with step sizes that training learns.

Esser et al. 2020, "Learned Step Size Quantization".
"""

import copy
import math
from collections import OrderedDict
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from effdl.compression.method import compression_method
from effdl.compression.quantize.wrapping import check_wrapping, layer_inputs
from effdl.config.annotations import show
from effdl.config.types import Natural, Positive
from effdl.nn.fake_quant import bounds
from effdl.nn.layer_file import read_layer_file
from effdl.nn.layers import weights
from effdl.nn.quantizers import ActivationQuantizer, WeightQuantizer, keep_scales_positive
from effdl.training.trainer import Trainer

_Bits = Annotated[int, Field(ge=2, le=8)]
_FLOAT = 32  # of weights and of activations that are not quantized
_IMAGES = 64  # number of images from which the step sizes of activations are initialized


def _check(
    model: nn.Module, activation_bits: int | None, bits_file: str | None, input_shape: tuple[int, int, int]
) -> None:
    """Check that a file of bits fits the model, and that quantizers of activations can be put before the layers.

    Raises:
        UserError: see `read_layer_file` and `check_wrapping`.
    """
    _bits_of_layers(model, bits_file)
    if activation_bits == _FLOAT:
        return
    trial = copy.deepcopy(model).eval()
    entering = layer_inputs(trial, torch.zeros(1, *input_shape, device=next(model.parameters()).device))
    names = [name for name, module, _ in weights(trial) if module in entering]
    check_wrapping(
        model, names, input_shape, f"compression.lsq.activation_bits={show(activation_bits)} (allowed is 32)"
    )


@compression_method("values", _check)
def lsq(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: _Bits | None,
    activation_bits: _Bits | Literal[32] | None,
    bits_file: str | None,
    first_last: _Bits | None,
    per_channel: bool,
    epochs: Natural | None,
    lr_scale: Positive,
) -> nn.Module:
    """Quantize all weights and the inputs of their layers, and train on with learned step sizes.

    Args:
        level: number of bits of a weight.
        activation_bits: number of bits of the inputs of the layers; None: `level`; 32: they are not quantized.
        bits_file: path of a JSON file ``{layer name: bits}``: number of bits of these layers' weights and, without
            `activation_bits`, of their inputs; the layers that it does not name have those of the other keys. 32: the
            layer and its inputs are not quantized.
        first_last: number of bits of weights and inputs in the first and the last layer; None: as in the others.
        per_channel: whether every output of a layer has a step size of its own, instead of one for the weight.
        epochs: number of epochs of training; None: half as many as the run has.
        lr_scale: factor on the run's learning rate.
    """
    layers, given = list(weights(model)), _bits_of_layers(model, bits_file)
    entering = layer_inputs(model, trainer.calibration_batches(_IMAGES, _IMAGES)[0][0])
    for position, (layer_name, module, name) in enumerate(layers):
        if given.get(layer_name) == _FLOAT:
            continue
        edge = first_last if position in (0, len(layers) - 1) else None
        _quantize_weight(module, name, given.get(layer_name) or edge or level, per_channel)
        if activation_bits != _FLOAT and module in entering:
            inputs = (activation_bits, given[layer_name]) if layer_name in given else (edge, activation_bits, level)
            quantizer = activation_quantizer(entering[module], next(filter(None, inputs)))
            model.set_submodule(layer_name, nn.Sequential(OrderedDict(quantizer=quantizer, layer=module)))
    return trainer.fit(model, epochs=epochs, lr_scale=lr_scale, after_update=keep_scales_positive)


def _bits_of_layers(model: nn.Module, path: str | None) -> dict[str, int]:
    """The bits that a file names; none without one."""
    names = [name for name, _, _ in weights(model)]
    key = "compression.lsq.bits_file"
    return (
        {}
        if path is None
        else read_layer_file(key, path, names, _Bits | Literal[32], "whole number from 2 to 8, or 32")
    )


def first_step_size(values: Tensor, high: int, dims: tuple[int, ...] | None = None) -> Tensor:
    """``2 <|v|> / sqrt(high)`` (section 2.1), the mean taken over the values that are not zero; 1 if all are.

    Args:
        values: of any shape.
        high: the largest code.
        dims: dimensions to average over, which are kept with length 1; None: all of them, with a result of shape ().
    """
    magnitudes = values.detach().abs()
    total = magnitudes.sum() if dims is None else magnitudes.sum(dims, keepdim=True)
    count = (magnitudes > 0).sum() if dims is None else (magnitudes > 0).sum(dims, keepdim=True)
    return torch.where(count > 0, 2 * total / (count * math.sqrt(high)), 1.0)


def _quantize_weight(module: nn.Module, name: str, bits: int, per_channel: bool) -> None:
    """Quantize a weight to `bits` bits, with a step size that training learns; in place."""
    weight = getattr(module, name)
    _, high = bounds(bits, signed=True)
    scale = first_step_size(weight, high, tuple(range(1, weight.ndim)) if per_channel else None)
    parametrize.register_parametrization(module, name, WeightQuantizer(bits, scale, learn=True))


def activation_quantizer(values: Tensor, bits: int) -> ActivationQuantizer:
    """A quantizer initialized for activations like `values`; it is signed if some of them are negative."""
    signed = bool((values < 0).any())
    quantizer = ActivationQuantizer(bits, signed).to(values.device)
    with torch.no_grad():
        quantizer.scale.copy_(first_step_size(values, bounds(bits, signed)[1]))
    return quantizer
