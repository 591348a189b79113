"""How fast a model is in the runtime that has kernels for its arithmetic, and how much faster than the dense one."""

import copy
import tempfile
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from effdl.deploy.benchmark import timed
from effdl.deploy.onnx import to_onnx
from effdl.deploy.onnx_runtime import onnxruntime
from effdl.deploy.qdq import fits_int8
from effdl.measure.latency import eager_rounds, throughput
from effdl.measure.ratio import in_turns
from effdl.measure.timing import latency_row
from effdl.nn.fake_quant import QuantGrid
from effdl.nn.layers import weights
from effdl.nn.quantizers import activation_quantizers
from effdl.utils.errors import RunError, UserError

_INT8_BITS = (7, 8)  # 7: int8 with the reduced range that processors without VNNI need
_HALF = {torch.float16: " fp16", torch.bfloat16: " bf16"}
_THROUGHPUT_BATCH = 64
NOT_DEPLOYED = {
    **dict.fromkeys(in_turns([latency_row([[0.0, 0.0]], 1, 1, "", "", None)], [[]])),
    "throughput_images_per_s": None,
    "throughput_batch": None,
    "deployed_bytes": None,
    "latency_note": None,
}


def as_deployed(
    model: nn.Module,
    dense: nn.Module | None,
    storage: dict[str, dict],
    grids: dict[str, QuantGrid],
    input_shape: tuple[int, int, int],
    device: torch.device,
    threads: int,
    *,
    channels_last: bool,
    runtime: str = "eager",
) -> dict:
    """Latency of one image, throughput, and bytes that are loaded, in the runtime that a model would be deployed in.

    Float models run in eager PyTorch in their own dtype, on their device, unless `runtime` says otherwise; int8 models
    in ONNX Runtime on the CPU, in a process of its own. (For eager PyTorch that would mean seconds of imports for every
    stage.) The dense model takes turns with them, in the same runtime in float32. If no runtime here can compute with a
    model's weights, all values but ``latency_note``, which has the reason, are None: the times of the float simulation
    would not be those of the deployed model.

    Args:
        model: as it was stored, on `device`.
        dense: the model to compare with, on `device`; None: there is none.
        storage: the result of `storage.breakdown` for the file.
        grids: the result of `storage.quant_grids` for the file.
        input_shape: shape (C, H, W) of an image.
        device: the device of a float model.
        threads: number of CPU threads.
        channels_last: the memory layout of a float model.
        runtime: of float models: ``eager``, or ``onnx``: ONNX Runtime on the CPU, as for int8.
    """
    if note := _obstacle(model, storage, grids):
        return {**NOT_DEPLOYED, "latency_note": note}
    if fits_int8(model, grids) or runtime == "onnx":
        found = _in_onnx_runtime(model, dense, grids, input_shape, threads)
    else:
        found = _in_eager(model, dense, input_shape, device, threads, channels_last)
    return {"latency_note": None, **found}


def check_runtime(runtime: str) -> None:
    """Check that float models can be timed in a runtime.

    Raises:
        UserError: it is not installed.
    """
    for name in ("onnx", "onnxscript", "onnxruntime") if runtime == "onnx" else ():
        if find_spec(name) is None:
            raise UserError(f"device.runtime={runtime}: {name} is not installed: pip install 'effdl[onnx]'")


def _obstacle(model: nn.Module, storage: dict[str, dict], grids: dict[str, QuantGrid]) -> str | None:
    """The reason why no runtime here can compute with a model's weights as they are stored; None if one can."""
    bits = sorted({grid.bits for grid in grids.values()})
    if any(few not in _INT8_BITS for few in bits):
        return f"no runtime here runs {' and '.join(f'{few}-bit' for few in bits if few not in _INT8_BITS)} weights"
    if _shares_values(model, storage):
        return "no runtime here runs weights that share values"
    quantizers = [module.bits for module in activation_quantizers(model)]
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


def _in_eager(
    model: nn.Module,
    dense: nn.Module | None,
    input_shape: tuple[int, int, int],
    device: torch.device,
    threads: int,
    channels_last: bool,
) -> dict:
    """The figures of a float model in eager PyTorch."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    # Copies of all, because a model that was read from a file may lie in memory otherwise than one that was trained.
    models = [copy.deepcopy(one).to(memory_format=layout) for one in (model, dense, dense) if one is not None]
    rounds = eager_rounds(models, input_shape, device=device, threads=threads)
    conditions = device.type, "channels_last" if channels_last else "contiguous"
    names = [f"pytorch-eager{_half(one)}" for one in models]
    rows = [latency_row(times, threads, 1, name, *conditions) for times, name in zip(rounds, names, strict=True)]
    return {
        **in_turns(rows, rounds),
        **throughput(models[0], input_shape, device=device, batch=_THROUGHPUT_BATCH, threads=threads),
        "deployed_bytes": sum(tensor.nbytes for tensor in model.state_dict().values()),
    }


def _half(model: nn.Module) -> str:
    """The half precision of a model; empty if it has none."""
    return next((_HALF[p.dtype] for p in model.parameters() if p.dtype in _HALF), "")


def _in_onnx_runtime(
    model: nn.Module,
    dense: nn.Module | None,
    grids: dict[str, QuantGrid],
    input_shape: tuple[int, int, int],
    threads: int,
) -> dict:
    """The figures of a model, exported to ONNX as int8 or in its own precision, in ONNX Runtime.

    A float model that cannot be exported has none, and a note that says so.
    """
    half = any(parameter.dtype is torch.float16 for parameter in model.parameters())
    precision = "int8" if fits_int8(model, grids) else "fp16" if half else "fp32"
    with tempfile.TemporaryDirectory() as folder:
        path, before = Path(folder) / "model.onnx", Path(folder) / "dense.onnx"
        try:
            size = to_onnx(model, grids, input_shape, path, precision)
            if dense is not None:
                to_onnx(dense, {}, input_shape, before, "fp32")
        except RunError as error:
            if precision == "int8":
                raise
            return {**NOT_DEPLOYED, "latency_note": str(error)}
        others = [before, before] if dense is not None else []
        found = timed([path, *others], input_shape, threads=threads, throughput_batch=_THROUGHPUT_BATCH)
    return {**in_turns(found.rows, found.rounds), **found.throughput, "deployed_bytes": size}
