"""Quantization of weights and activations to 8-bit integers, simulated with the values that a runtime computes.

The model stays a PyTorch model. Each activation is ``(code - zero_point) * scale`` in float32 with the codes of ONNX's
QuantizeLinear, each weight ``code * scale``. A runtime sums their products as 32-bit integers and this simulation sums
them as floats, which differ only by rounding.
"""

import copy
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from effdl.compression.method import compression_method
from effdl.compression.quantize.calibrate import Calibration, calibrate
from effdl.compression.quantize.qdq_placement import LAYERS, QuantizedLayer, insert_quantizers, quantizable
from effdl.compression.quantize.wrapping import check_wrapping
from effdl.config.types import Count, Positive, ReadIf
from effdl.nn.call_graph import CallGraph
from effdl.nn.fold import fold, foldable_norms
from effdl.nn.layers import plain_type
from effdl.nn.quantizers import (
    ActivationQuantizer,
    WeightQuantizer,
    keep_scales_positive,
    symmetric_scale,
    without_zeros,
)
from effdl.training.trainer import Trainer
from effdl.utils.errors import UserError

_Percentile = Annotated[float, Field(gt=50, le=100), ReadIf(calibration=Literal["percentile"])]


def check_quantizable(model: nn.Module, first_last: bool, input_shape: tuple[int, int, int]) -> None:
    """Check that the model has layers to quantize: such that a forward pass calls once, as a module.

    Raises:
        UserError: it has none, or only the first and the last one, which `first_last` excludes; see `check_wrapping`.
    """
    graph = CallGraph(copy.deepcopy(model).eval(), torch.zeros(1, *input_shape))
    layers = quantizable(graph, first_last)
    if not layers:
        number = sum(plain_type(call.module) in LAYERS for call in graph.calls)
        raise UserError(
            f"quantize=int8: nothing to quantize among {number} convolutions and linear layers"
            + ("" if first_last else "; compression.int8.first_last=true quantizes the first and the last, too")
        )
    check_wrapping(model, [call.name for call in layers], input_shape, "quantize=int8")


@compression_method("conversion", check_quantizable)
def int8(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Literal["int8"],
    calibration: Calibration,
    percentile: _Percentile,
    images: Count,
    per_channel: bool,
    reduce_range: bool,
    first_last: bool,
) -> nn.Module:
    """Quantize after training: weights to signed, activations to unsigned 8-bit integers, in place.

    Batch norms are folded before; ranges of activations come from training images. See Krishnamoorthi 2018,
    "Quantizing deep convolutional networks for efficient inference", section 3.1.

    Args:
        level: the only level is "int8".
        calibration: how the range of an activation is chosen: "minmax" takes all values, "percentile" a percentage of
            them, "entropy" the range that changes their distribution least, and "mse" the range with the smallest
            squared error.
        percentile: percentage of the values within the range, for ``calibration=percentile``.
        images: number of training images for the calibration.
        per_channel: whether each output of a layer has a scale of its own, instead of one for the weight.
        reduce_range: whether weights use only 7 of their 8 bits. With 8, on x86 processors without VNNI instructions,
            sums of two products saturate at 16 bits, and the deployed model is less accurate than this one.
        first_last: whether the first and the last layer are quantized, too.
    """
    layers, norms = _insert_calibrated_quantizers(
        model, trainer.calibration_batches(images), calibration, percentile, first_last
    )
    for layer, norm in norms:
        _fold_away(model, layer, norm)
    for quantized in layers:
        _quantize_weight(quantized.layer, 7 if reduce_range else 8, per_channel, learn=False)
    return _fit_integers(model, layers)


@compression_method("conversion", check_quantizable)
def int8_aware(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Literal["int8"],
    calibration: Calibration,
    percentile: _Percentile,
    images: Count,
    reduce_range: bool,
    first_last: bool,
    learn_scales: bool,
    epochs: Count | None,
    lr_scale: Positive,
) -> nn.Module:
    """Quantize as `int8` does, train the quantized model, and then fold the batch norms; in place.

    Gradients pass straight through the rounding (Jacob et al. 2018, "Quantization and Training of Neural Networks",
    section 3). Weights have one scale per output, so that folding, which multiplies all weights of an output, changes
    only the scale, and the codes stay those of the training.

    Args:
        level, calibration, percentile, images, reduce_range, first_last: see `int8`.
        learn_scales: whether the scales of weights and activations are trained, too, as learned step sizes (Esser et
            al. 2020).
        epochs: number of epochs of training; None: half as many as the run has.
        lr_scale: factor on the run's learning rate.
    """
    layers, norms = _insert_calibrated_quantizers(
        model, trainer.calibration_batches(images), calibration, percentile, first_last
    )
    for quantized in layers:
        _quantize_weight(quantized.layer, 7 if reduce_range else 8, per_channel=True, learn=learn_scales)
    for module in model.modules():
        if isinstance(module, ActivationQuantizer):
            module.scale.requires_grad_(learn_scales)
    model = trainer.fit(model, epochs=epochs, lr_scale=lr_scale, after_update=keep_scales_positive)
    for layer, norm in norms:
        _fold_away(model, layer, norm)
    return _fit_integers(model, layers)


def _insert_calibrated_quantizers(
    model: nn.Module,
    batches: list[tuple[Tensor, Tensor]],
    calibration: Calibration,
    percentile: float,
    first_last: bool,
) -> tuple[list[QuantizedLayer], list[tuple[nn.Module, nn.Module]]]:
    """Insert activation quantizers and calibrate them; in place.

    Args:
        batches: calibration batches of images (n, C, H, W) and labels.
        calibration, percentile, first_last: see `int8`.

    Returns:
        The layers whose weights to quantize, and the pairs of a layer and the batch norm to fold into it.
    """
    graph = CallGraph(model, batches[0][0][:1])
    names = foldable_norms(graph)
    norms = [(model.get_submodule(layer), model.get_submodule(norm)) for layer, norm in names.items()]
    layers = insert_quantizers(graph, model, names, first_last)
    calibrate(model, batches, calibration, percentile)
    return layers, norms


def _quantize_weight(layer: nn.Module, bits: int, per_channel: bool, learn: bool) -> None:
    """Quantize a layer's weights to an integer grid that covers their range; in place."""
    scale = symmetric_scale(layer.weight, bits, per_channel)
    parametrize.register_parametrization(layer, "weight", WeightQuantizer(bits, scale, learn))


@torch.no_grad()
def _fold_away(model: nn.Module, layer: nn.Module, norm: nn.Module) -> None:
    """Fold a norm into a layer and remove it; quantized weights keep their codes up to the sign. In place."""
    factor = fold(layer, norm)
    if quantizer := _quantizer_of(layer):
        quantizer.step_size.copy_(without_zeros(quantizer.step_size * factor.abs()))
    model.set_submodule(next(name for name, module in model.named_modules() if module is norm), nn.Identity())


@torch.no_grad()
def _fit_integers(model: nn.Module, layers: list[QuantizedLayer]) -> nn.Module:
    """Round the biases as a runtime does, to 32-bit integers times the scales of input and weight; in place.

    Where batch norm has made the weights of an output tiny, their scale must grow for the bias to fit into 32 bits.
    With rounded biases, sums of floats and sums of integers differ only by the last rounding.
    """
    for quantized in layers:
        bias, quantizer = quantized.layer.bias, _quantizer_of(quantized.layer)
        if bias is not None:
            step, largest = quantizer.step_size, bias.abs()
            least = largest / (quantized.input.scale * (1 << 30))
            step.copy_(step.maximum(least if step.ndim else least.amax()))
            scale = quantized.input.scale * step
            bias.copy_((bias / scale).round() * scale)
    return model


def _quantizer_of(layer: nn.Module) -> WeightQuantizer | None:
    """The quantizer of a layer's weight, if it has one."""
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    return next((step for step in layer.parametrizations.weight if isinstance(step, WeightQuantizer)), None)
