"""The parts of a classifier in the order in which they are used: stem, blocks, last layer.

What is a part is read from the modules. A residual block, an encoder block or an inception module is one; sequences of
blocks are taken apart, and so is what holds them. A part begins with a convolution, a linear layer or such a block, and
the norms, activations and poolings behind it belong to it. The last layer is a part of its own.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from effdl.models.surgery import last_layer
from effdl.nn.hooks import forward_hooks
from effdl.nn.layers import weights
from effdl.nn.modes import restored_modes


@dataclass(frozen=True)
class Part:
    """A part of a model.

    Args:
        name: of the module that it begins with.
        modules: names of all its modules, in the order in which they are used.
        parameters: names of parameters that belong to no module of any part, such as a class token: to the first part.
    """

    name: str
    modules: tuple[str, ...]
    parameters: tuple[str, ...] = ()

    @property
    def members(self) -> tuple[str, ...]:
        """Names of what belongs to it: modules and parameters."""
        return (*self.modules, *self.parameters)


def parts(model: nn.Module, images: Tensor) -> list[Part]:
    """The parts of a model, the first used first.

    Args:
        images: any that the model takes, (n, C, H, W).
    """
    modules = dict(_pieces(model))
    names = {module: name for name, module in modules.items()}
    used: dict[str, None] = {}  # in the order of the first call

    def note(module: nn.Module, arguments: tuple) -> None:
        used.setdefault(names[module])

    with (
        restored_modes(model),
        torch.no_grad(),
        torch.random.fork_rng(devices=[]),
        forward_hooks(names, note, before=True),
    ):
        model.eval()(images)
    groups: list[list[str]] = [[]]
    for name in used:
        if _has_weights(modules[name]) and any(_has_weights(modules[other]) for other in groups[-1]):
            groups.append([])
        groups[-1].append(name)
    owned = {f"{name}.{own}" for name in used for own, _ in modules[name].named_parameters()}
    loose = tuple(name for name, _ in model.named_parameters() if name not in owned and name not in modules)
    found = [Part(_first_with_weights(group, modules), tuple(group)) for group in groups]
    return [Part(found[0].name, found[0].modules, loose), *found[1:]]


def belongs(name: str, members: tuple[str, ...]) -> bool:
    """Whether a module or parameter is one of these, or within one."""
    return any(name == member or name.startswith(f"{member}.") for member in members)


def _has_weights(module: nn.Module) -> bool:
    return any(True for _ in weights(module))


def _first_with_weights(group: list[str], modules: dict[str, nn.Module]) -> str:
    return next((name for name in group if _has_weights(modules[name])), group[0])


def _pieces(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Modules that are taken apart no further, in the order of ``named_modules``; together they hold all others."""
    _, head = last_layer(model)

    def taken_apart(name: str, module: nn.Module) -> list[tuple[str, nn.Module]]:
        children = [(f"{name}.{child}".lstrip("."), part) for child, part in module.named_children()]
        if module is head or not children or not (module is model or _is_sequence(module, head)):
            return [(name, module)]
        return [piece for child in children for piece in taken_apart(*child)]

    return taken_apart("", model)


def _is_sequence(module: nn.Module, head: nn.Module) -> bool:
    """Whether a module only arranges parts: a plain sequence, or what holds several blocks or the last layer."""
    if type(module) in (nn.Sequential, nn.ModuleList) or any(part is head for part in module.modules()):
        return True
    return any(
        isinstance(inner, (nn.Sequential, nn.ModuleList, nn.ModuleDict)) and _blocks(inner) > 1
        for inner in module.modules()
    )


def _blocks(sequence: nn.Module) -> int:
    """The number of children that have several layers of their own."""
    return sum(len(list(weights(child))) > 1 for child in sequence.children())
