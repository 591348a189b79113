"""The latency of a model in the runtime that has kernels for its arithmetic."""

import tempfile
from pathlib import Path

import torch
from torch import nn

from effdl.deploy.benchmark import timed
from effdl.deploy.onnx import to_onnx
from effdl.deploy.onnx_runtime import describe_arithmetic, kernels, onnxruntime
from effdl.deploy.qdq import fits_int8
from effdl.measure.latency import latency
from effdl.nn.fake_quant import QuantGrid
from effdl.nn.layers import weights
from effdl.nn.quantizers import ActivationQuantizer
from effdl.utils.errors import UserError

_KEYS = ("ms", "q1_ms", "q3_ms", "runs", "threads", "batch", "runtime", "note")
_INT8_BITS = (7, 8)  # 7: int8 with the reduced range that processors without VNNI need
_HALF = {torch.float16: "fp16", torch.bfloat16: "bf16"}


def deployed_latency(
    path: Path,
    model: nn.Module,
    storage: dict[str, dict],
    grids: dict[str, QuantGrid],
    input_shape: tuple[int, int, int],
    device: torch.device,
    threads: int,
) -> dict:
    """Latency of one image, with keys as in `effdl.measure.latency.latency` and ``latency_note``.

    Float models run in eager PyTorch in their own dtype, on their device; int8 models in ONNX Runtime on the CPU, in
    a separate process. If no runtime here can compute with a model's weights, all values but ``latency_note``, which
    has the reason, are None: the time of the float simulation would not be that of the deployed model.

    Args:
        path: the stored model.
        model: the model that was loaded from it, on `device`.
        storage: the result of `storage.breakdown` for the file.
        grids: the result of `storage.quant_grids` for the file.
        input_shape: shape (C, H, W) of an image.
        device: the device of a float model.
        threads: number of CPU threads.
    """
    if note := _obstacle(model, storage, grids):
        return {f"latency_{key}": None for key in _KEYS} | {"latency_note": note}
    if fits_int8(model, grids):
        return _int8_latency(model, grids, input_shape, threads)
    found = latency(model, input_shape, device=device, threads=threads)
    dtype = next((_HALF[p.dtype] for p in model.parameters() if p.dtype in _HALF), "")
    return {**found, "latency_runtime": f"{found['latency_runtime']} {dtype}".strip(), "latency_note": None}


def _obstacle(model: nn.Module, storage: dict[str, dict], grids: dict[str, QuantGrid]) -> str | None:
    """The reason why no runtime here can compute with a model's weights as they are stored; None if one can."""
    bits = sorted({grid.bits for grid in grids.values()})
    if any(few not in _INT8_BITS for few in bits):
        return f"no runtime here runs {' and '.join(f'{few}-bit' for few in bits if few not in _INT8_BITS)} weights"
    if _shares_values(model, storage):
        return "no runtime here runs weights that share values"
    quantizers = [module.bits for module in model.modules() if isinstance(module, ActivationQuantizer)]
    if (bits or quantizers) and not fits_int8(model, grids):
        stored, entering = (f"{few[0]}-bit" if few else "float" for few in (bits, sorted(quantizers)))
        return f"no runtime here runs {stored} weights with {entering} activations"
    try:
        if bits:
            onnxruntime()
    except UserError as error:
        return str(error)
    return None


def _shares_values(model: nn.Module, storage: dict[str, dict]) -> bool:
    """Whether most weights are stored as indices into a palette (a small bfloat16 layer may be by chance)."""
    counts = {"palette": 0, "": 0}
    for name, module, attribute in weights(model):
        kind = storage.get(f"{name}.{attribute}".lstrip("."), {}).get("kind", "")
        counts["palette" if "palette" in kind else ""] += getattr(module, attribute).numel()
    return counts["palette"] > counts[""]


def _int8_latency(
    model: nn.Module, grids: dict[str, QuantGrid], input_shape: tuple[int, int, int], threads: int
) -> dict:
    """The latency of an int8 model, exported to ONNX, in ONNX Runtime."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        to_onnx(model, grids, input_shape, path, "int8")
        found = timed(path, input_shape, threads=threads)
        arithmetic = describe_arithmetic(kernels(path, input_shape))
    return {**found, "latency_runtime": f"{found['latency_runtime']} int8", "latency_note": arithmetic}
