"""ExecuTorch programs for phones and embedded boards: float32, one image at a time, with the kernels of XNNPACK."""

import contextlib
import importlib
import io
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from torch import Tensor, nn

from effdl.deploy.torch_export import traced
from effdl.utils.errors import UserError
from effdl.utils.files import write_atomic


def _required(module: str):
    """A module of executorch.

    Raises:
        UserError: it is not installed.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return importlib.import_module(f"executorch.{module}")
    except ImportError as error:
        raise UserError("format=executorch needs ExecuTorch: pip install 'effdl[executorch]'") from error


def to_executorch(model: nn.Module, input_shape: tuple[int, int, int], path: Path) -> int:
    """Write a model as an ExecuTorch program; return the file's length in bytes.

    The program maps one normalized float32 image (1, C, H, W) to float32 logits (1, classes).

    Args:
        model: on the CPU, in eval mode, with materialized parametrizations; it is not changed.
            Half precision becomes float32.

    Raises:
        UserError: executorch is not installed.
        RunError: the model's code cannot be traced.
    """
    partitioner = _required("backends.xnnpack.partition.xnnpack_partitioner").XnnpackPartitioner()
    edge = _required("exir").to_edge_transform_and_lower(traced(model, input_shape, 1), partitioner=[partitioner])
    data = edge.to_executorch().buffer
    write_atomic(path, data)
    return len(data)


def load(path: Path, threads: int) -> Callable[[Tensor], Tensor]:
    """Load a program as a function from one image (1, C, H, W) to its logits (1, classes)."""
    runtime = _required("runtime").Runtime.get()
    _required("extension.pybindings.portable_lib")._unsafe_reset_threadpool(threads)  # the only way to set it
    program = runtime.load_program(str(path))
    method = program.load_method("forward")

    def forward(image: Tensor, keep=program) -> Tensor:  # the method reads the program's memory
        return method.execute([image])[0]

    return forward


def runtime_name() -> str:
    """Name, version and backend of the runtime."""
    return f"ExecuTorch {metadata.version('executorch')} XNNPACK"
