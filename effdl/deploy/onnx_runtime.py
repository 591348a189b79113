"""ONNX Runtime: sessions, logits, and the kernels that are executed for an ONNX file."""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from effdl.utils.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

KERNEL = "_kernel_time"  # at the end of a kernel's name in a profile
_INTEGER = {"QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "MatMulInteger"}
_FLOATING = {"Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}


def onnxruntime():
    """The module onnxruntime.

    Raises:
        UserError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError("ONNX Runtime is not installed: pip install 'effdl[onnx]'") from error
    return onnxruntime


def runtime_name() -> str:
    """Name and version of the runtime."""
    return f"ONNX Runtime {onnxruntime().__version__}"


def session(path: Path, threads: int, profile: Path | None = None, *, shared: bool = False):
    """An inference session on the CPU with all optimizations.

    Args:
        profile: prefix of the profile that it writes.
        shared: with the threads of `share_threads`.
    """
    library = onnxruntime()
    options = library.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    if shared and hasattr(library, "set_global_thread_pool_sizes"):
        options.use_per_session_threads = False
    elif shared:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors only
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    return library.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def share_threads(threads: int) -> None:
    """Let all sessions of this process use the same threads; once, before the first.

    Those of their own spin for a while after each inference, and so slow down the session whose turn is next. Earlier
    versions of ONNX Runtime cannot share them from Python; their sessions are told not to spin.
    """
    if hasattr(onnxruntime(), "set_global_thread_pool_sizes"):
        onnxruntime().set_global_thread_pool_sizes(threads, 1)


def takes_pixels(loaded) -> bool:
    """Whether a session's model takes uint8 pixels instead of normalized float32 images."""
    return loaded.get_inputs()[0].type == "tensor(uint8)"


def ort_logits(path: Path, batches: Iterable[tuple["Tensor", "Tensor"]], threads: int = 1) -> "Tensor":
    """The outputs, float32 (N, classes), for all images of batches (images, labels).

    They are logits of images that are normalized float32 (n, C, H, W), or with preprocessing probabilities of uint8.
    """
    import torch

    answer = answers(session(path, threads))
    return torch.cat([answer(images) for images, _ in batches])


def answers(loaded) -> Callable[["Tensor"], "Tensor"]:
    """A session as a function of images (n, C, H, W), whose type is made the one that it takes."""
    import torch

    name, dtype = loaded.get_inputs()[0].name, torch.uint8 if takes_pixels(loaded) else torch.float32
    return lambda images: torch.from_numpy(loaded.run(None, {name: images.to(dtype).cpu().numpy()})[0])


def ort_accuracy(path: Path, batches: Iterable[tuple["Tensor", "Tensor"]], threads: int = 1) -> float:
    """Fraction of images (as for `ort_logits`) whose label has the highest logit."""
    batches = list(batches)
    labels = np.concatenate([labels.cpu().numpy() for _, labels in batches])
    return float((ort_logits(path, batches, threads).numpy().argmax(1) == labels).mean())


def kernels(path: Path, input_shape: tuple[int, int, int], *, shared: bool = False) -> Counter[tuple[str, str]]:
    """Count the kernels of one inference by operator and type of the first input, such as ``("Conv", "float")``.

    They are read from the profile of the runtime, after its optimizations; ``("QLinearConv", "uint8")`` computes with
    integers. `shared`: see `session`.
    """
    ran = [event["args"] for event in profiled(path, input_shape, shared=shared)]
    return Counter((args["op_name"], _first_type(args["input_type_shape"])) for args in ran)


def profiled(
    path: Path, input_shape: tuple[int, int, int], *, threads: int = 1, runs: int = 1, shared: bool = False
) -> list[dict]:
    """The kernels of some inferences of one image, one after the other, as the runtime's profile has them.

    Each has ``name`` (that of the node or tensor, with `KERNEL` behind it), ``dur`` (microseconds) and ``args``.

    Args:
        threads, shared: see `session`.
        runs: number of inferences.
    """
    with tempfile.TemporaryDirectory() as folder:
        loaded = session(path, threads, profile=Path(folder) / "profile", shared=shared)
        dtype = np.uint8 if takes_pixels(loaded) else np.float32
        feed = {loaded.get_inputs()[0].name: np.zeros((1, *input_shape), dtype)}
        for _ in range(runs):
            loaded.run(None, feed)
        events = json.loads(Path(loaded.end_profiling()).read_bytes())
    return [event for event in events if event["cat"] == "Node" and event["name"].endswith(KERNEL)]


def describe_arithmetic(ran: Counter[tuple[str, str]]) -> str:
    """The arithmetic of the convolutions and matrix products in `kernels`, such as ``"8 of 9 layers in int8"``."""
    layers = _arithmetic(ran)
    return ", ".join(f"{count} of {layers.total()} layers in {kind}" for kind, count in layers.most_common())


def runtime_that_ran(ran: Counter[tuple[str, str]]) -> str:
    """The runtime, and in what it computed `kernels`: ``"ONNX Runtime 1.31.1 int8 (8 of 9 layers)"``.

    Integers are named first: without them a quantized file was run in floats.
    """
    layers = _arithmetic(ran)
    if not layers:
        return runtime_name()
    kind = "int8" if layers["int8"] else layers.most_common(1)[0][0]
    part = f" ({layers[kind]} of {layers.total()} layers)" if layers[kind] < layers.total() else ""
    return f"{runtime_name()} {kind}{part}"


def _arithmetic(ran: Counter[tuple[str, str]]) -> Counter[str]:
    """How many convolutions and matrix products were computed in which type."""
    layers: Counter[str] = Counter()
    for (operator, kind), count in ran.items():
        if operator in _INTEGER or operator in _FLOATING:
            layers["int8" if operator in _INTEGER else {"float": "fp32", "float16": "fp16"}.get(kind, kind)] += count
    return layers


def _first_type(inputs: list[dict]) -> str:
    """The type of the first input in a profile's ``[{"float": [1, 3, 8, 8]}, ...]``."""
    return next(iter(inputs[0])) if inputs else ""
