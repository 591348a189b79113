"""Models without memory for their tensors, which show what a model would take before it is made."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_ALLOCATING = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}


class _Unallocated(TorchFunctionMode):
    """New tensors lie on the meta device. Those made of numbers (indices, ranges) are real: a model may read them."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        device = {"device": "meta"} if function in _ALLOCATING else {}
        return function(*args, **{**(kwargs or {}), **device})


def outline(make: Callable[[], nn.Module]) -> nn.Module:
    """The model that a function makes, its tensors on the meta device; draws no random numbers.

    Raises:
        Whatever `make` does; models that read their own tensors have no outline.
    """
    with torch.random.fork_rng(devices=[]), _Unallocated():
        return make()


def nbytes(model: nn.Module) -> int:
    """The memory of a model's tensors in bytes."""
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))


def missing(model: nn.Module) -> list[str]:
    """Tensors of an outline that are not in its state dict: to have them the model must be made."""
    stored = model.state_dict()
    return [name for name, tensor in _tensors(model) if tensor.is_meta and name not in stored]


def fill(model: nn.Module, made: nn.Module) -> None:
    """Give an outline the tensors that are not in the state dict, from the same model as it was made."""
    for module, source in zip(model.modules(), made.modules(), strict=True):
        for name in source._non_persistent_buffers_set:
            module._buffers[name] = source._buffers[name]
        for name, value in vars(source).items():
            if isinstance(value, Tensor):
                setattr(module, name, value)


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, buffers, and tensors that are plain attributes of modules."""
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)
    for prefix, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                yield f"{prefix}.{name}".lstrip("."), value
