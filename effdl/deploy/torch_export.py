"""``torch.export`` programs: the model's graph in float32, for PyTorch without the model's code."""

import copy
import io
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from effdl.utils.errors import RunError
from effdl.utils.files import write_atomic


def to_torch_export(model: nn.Module, input_shape: tuple[int, int, int], path: Path) -> int:
    """Write a model as a ``torch.export`` program for any batch size; return the file's length in bytes.

    The program maps normalized float32 images (N, C, H, W) to float32 logits (N, classes). The example input of the
    tracing is not stored.

    Args:
        model: on the CPU, in eval mode, with materialized parametrizations; it is not changed.
            Half precision becomes float32.

    Raises:
        RunError: the model's code cannot be traced.
    """
    program = traced(model, input_shape, 2, ({0: torch.export.Dim("batch")},))
    program._example_inputs = None  # `torch.export.save` stores them otherwise
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    write_atomic(path, buffer.getvalue())
    return path.stat().st_size


def traced(
    model: nn.Module, input_shape: tuple[int, int, int], batch: int, dynamic_shapes: tuple | None = None
) -> torch.export.ExportedProgram:
    """The graph of a float32 copy of a model for a batch of images.

    Raises:
        RunError: the model's code cannot be traced.
    """
    model = copy.deepcopy(model).float().eval()
    try:
        with torch.no_grad():
            return torch.export.export(model, (torch.zeros(batch, *input_shape),), dynamic_shapes=dynamic_shapes)
    except Exception as error:  # of any type, raised by the model's own code
        raise RunError(f"torch.export cannot trace this model: {str(error).partition(chr(10))[0]}") from error


def load(path: Path) -> Callable[[Tensor], Tensor]:
    """Load a program as a function from images (N, C, H, W) to logits (N, classes)."""
    return torch.export.load(path).module()
