"""ONNX files in float32 or float16, or with quantization that ONNX Runtime executes with integers."""

import contextlib
import copy
import io
import logging
import warnings
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from effdl.data.inputs import Inputs
from effdl.deploy.preprocessing import WithPreprocessing
from effdl.deploy.qdq import fits_int8, quantize_activations, quantize_weights
from effdl.deploy.shortcuts import as_convolutions
from effdl.nn.fake_quant import QuantGrid
from effdl.nn.quantizers import activation_quantizers
from effdl.utils.errors import RunError, UserError
from effdl.utils.files import write_atomic

Precision = Literal["fp32", "fp16", "int8"]


def to_onnx(
    model: nn.Module,
    grids: dict[str, QuantGrid],
    input_shape: tuple[int, int, int],
    path: Path,
    precision: Precision,
    metadata: dict[str, str] | None = None,
    preprocessing: Inputs | None = None,
) -> int:
    """Write a model as ONNX, for any batch size; return the file's length in bytes.

    Input ``images``: float32 (N, C, H, W), normalized as for training; output ``logits``: float32 (N, classes). With
    `preprocessing`, input ``pixels``: uint8 (N, C, H, W); output ``probabilities``: float32 (N, classes).

    Args:
        model: in eval mode, with materialized parametrizations; it is not changed.
        grids: the integer grids of weights, by name: the result of `storage.quant_grids` for the stored model.
        precision: ``fp32``: everything in float32, quantizers included. ``fp16``: in float16 between the casts of
            input and output. ``int8``: weights on a grid become int8, activation quantizers uint8. (A last linear
            layer, whose outputs are not quantized, is computed in float from its int8 weights.)
        metadata: strings that are stored in the ``metadata_props`` of the file.
        preprocessing: the normalization that becomes part of the graph, as does the softmax; None: neither does.

    Raises:
        UserError: the model does not fit the precision, or onnx is not installed.
        RunError: the result is not a valid ONNX model.
    """
    check_precision(model, grids, precision)
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch.onnx needs it)
    except ImportError as error:
        raise UserError(f"format=onnx needs {error.name}: pip install 'effdl[onnx]'") from error
    model = copy.deepcopy(model).float().cpu()
    if precision == "fp32":
        as_convolutions(model)
    if precision == "int8":
        quantize_activations(model)
        quantize_weights(model, grids)
    elif precision == "fp16":
        model = _HalfInside(model.half())
    example, names = torch.zeros(2, *input_shape), ("images", "logits")  # not 1: that would be taken for a constant
    if preprocessing:
        model, example, names = WithPreprocessing(model, preprocessing), example.byte(), ("pixels", "probabilities")
    proto = _traced(model.eval(), example, *names)
    for node in [proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output]:
        node.ClearField("metadata_props")  # stack traces of the machine that exported it
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, metadata or {})
    try:
        onnx.checker.check_model(proto, full_check=True)
    except onnx.checker.ValidationError as error:
        raise RunError(f"{path}: not a valid ONNX model: {error}") from error
    data = proto.SerializeToString()
    write_atomic(path, data)
    return len(data)


def _traced(model: nn.Module, example: Tensor, input_name: str, output_name: str):
    """The model as an ``onnx.ModelProto``; the exporter's progress messages are dropped."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                external_data=False,
                verbose=False,
                input_names=[input_name],
                output_names=[output_name],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
    except torch.onnx.OnnxExporterError as error:
        raise RunError(f"this model cannot be exported to ONNX: {error}") from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    return program.model_proto


def check_precision(model: nn.Module, grids: dict[str, QuantGrid], precision: Precision) -> None:
    """Check that a model can be exported in a precision.

    Raises:
        UserError: it cannot; the message says how to train such a model.
    """
    if precision == "int8" and not fits_int8(model, grids):
        raise UserError(
            "precision=int8: this model's weights and activations are not quantized to 8 bits "
            "(allowed: fp32); `effdl train ... quantize=int8` makes one that is"
        )
    if precision == "fp16" and any(activation_quantizers(model)):
        raise UserError(
            "precision=fp16: this model's activations are quantized, which float16 cannot hold exactly "
            "(allowed: fp32, or int8 for 8 bits); `effdl train ... quantize=fp16` makes one that is half precision"
        )


class _HalfInside(nn.Module):
    """A float16 model with float32 input and output."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images.half()).float()
