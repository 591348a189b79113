"""The export of a model: written, compared with PyTorch on the whole test split, timed, then moved to its folder."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from effdl.data.inputs import Inputs
from effdl.deploy import executorch, torch_export
from effdl.deploy.benchmark import timed
from effdl.deploy.layer_times import layer_times
from effdl.deploy.onnx import Precision, check_precision, to_onnx
from effdl.deploy.onnx_runtime import describe_arithmetic, kernels, onnxruntime, ort_logits
from effdl.deploy.parity import (
    Batches,
    compare,
    of_probabilities,
    program_logits,
    require_parity,
    tolerance_of,
    torch_logits,
)
from effdl.deploy.preprocessing import WithPreprocessing, metadata_of
from effdl.deploy.qdq import fits_int8
from effdl.measure.ratio import in_turns
from effdl.nn.fake_quant import QuantGrid
from effdl.utils.errors import UserError

_Format = Literal["onnx", "torch_export", "executorch"]
_FILES: dict[_Format, str] = {"onnx": "model.onnx", "torch_export": "model.pt2", "executorch": "model.pte"}


def choose_precision(
    model: nn.Module, grids: dict[str, QuantGrid], format: _Format, precision: str | None
) -> Precision:
    """The requested precision; without one, int8 for ONNX if the model is quantized to 8 bits, else fp32.

    Raises:
        UserError: the format or the model does not support the precision.
    """
    if format != "onnx" and precision not in (None, "fp32"):
        raise UserError(f"precision={precision}: format={format} is written in float32 (allowed: fp32)")
    chosen = precision or ("int8" if format == "onnx" and fits_int8(model, grids) else "fp32")
    check_precision(model, grids, chosen)
    return chosen


def export(
    model: nn.Module,
    grids: dict[str, QuantGrid],
    input_shape: tuple[int, int, int],
    batches: Callable[[], Batches],
    folder: Path,
    *,
    format: _Format,
    precision: Precision,
    threads: int,
    inputs: Inputs,
    preprocessing: bool = False,
    metadata: dict[str, str],
    dense: nn.Module | None = None,
    layers: bool = False,
) -> dict:
    """Write a model into a folder in a format; return the measurements of the file.

    The times are those of the file and of the dense model in turns, both in the runtime of the format, the dense model
    in float32.

    Args:
        model: on the CPU, in eval mode, with materialized parametrizations.
        grids: the result of `storage.quant_grids`.
        input_shape: shape (C, H, W) of an image.
        batches: returns the batches (images, labels) of the test split at every call: normalized float32, or uint8
            pixels with `preprocessing`.
        threads: number of CPU threads of the runtime while it is timed.
        inputs: of the model; an ONNX file says them.
        preprocessing: put the normalization and the softmax into the graph of an ONNX file.
        metadata: further strings that are stored in an ONNX file.
        dense: the model to compare the speed with, on the CPU; None: there is none.
        layers: also time each layer of an ONNX file, see `layer_times`.

    Raises:
        UserError: a library that the format needs is not installed.
        RunError: the outputs of the export differ from those of the model; the folder is not changed.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export.") as temporary:
        path = Path(temporary) / _FILES[format]
        around = inputs if preprocessing else None
        told = metadata | metadata_of(inputs, preprocessing)
        size = _write(model, grids, input_shape, path, format, precision, told, around)
        logits = _logits(path, format, batches(), threads)
        labels = torch.cat([labels.cpu() for _, labels in batches()])
        tolerance = tolerance_of(model, precision)
        if preprocessing:
            model = WithPreprocessing(model, inputs, next(model.parameters()).dtype)
        comparison = compare(torch_logits(model, batches()), logits, labels)
        require_parity(comparison, tolerance)
        if preprocessing:
            comparison = of_probabilities(comparison)
        before = path.with_name(f"dense{path.suffix}")
        if dense is not None:
            _write(dense, {}, input_shape, before, format, "fp32", {}, around)
        found = timed([path, *([before, before] if dense is not None else [])], input_shape, threads=threads)
        latency = in_turns(found.rows, found.rounds)
        ran = _ran(path, input_shape) if format == "onnx" else {}
        ran |= {"layer_times": layer_times(path, input_shape, threads)} if layers else {}
        path.replace(folder / _FILES[format])
    sizes = {"size_bytes": size, "deployed_bytes": size}
    asked = {"precision": precision, "preprocessing": preprocessing}
    return {"file": _FILES[format], **asked, **sizes, **comparison, **latency, **ran}


def _write(
    model: nn.Module,
    grids: dict[str, QuantGrid],
    input_shape: tuple[int, int, int],
    path: Path,
    format: _Format,
    precision: Precision,
    metadata: dict[str, str],
    preprocessing: Inputs | None,
) -> int:
    """Write a model in a format; returns the length of the file in bytes."""
    if format == "onnx":
        onnxruntime()  # raises before the export if it is missing
        return to_onnx(model, grids, input_shape, path, precision, metadata, preprocessing)
    write = torch_export.to_torch_export if format == "torch_export" else executorch.to_executorch
    return write(model, input_shape, path)


def _logits(path: Path, format: _Format, batches: Batches, threads: int) -> Tensor:
    """The logits of a file in the runtime of its format."""
    if format == "onnx":
        return ort_logits(path, batches, threads)
    if format == "torch_export":
        return program_logits(torch_export.load(path), batches)
    return program_logits(executorch.load(path, threads), batches, one_by_one=True)


def _ran(path: Path, input_shape: tuple[int, int, int]) -> dict:
    """What ONNX Runtime made of a file."""
    counted = kernels(path, input_shape)
    return {
        "arithmetic": describe_arithmetic(counted),
        "kernels": {f"{operator} {kind}".strip(): count for (operator, kind), count in counted.items()},
    }
