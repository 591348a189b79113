"""Costs of a model (filters, parameters, MACs), also of one whose layers have fewer inputs and outputs."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from effdl.compression.prune.dependency import LAYERS, Group, Side
from effdl.nn.weight_uses import count_products

Target = Literal["filters", "params", "macs"]
_OUTPUTS = ("out_channels", "out_features", "num_features", "num_parameters")  # of convolutions, linear layers, norms
_INPUTS = ("in_channels", "in_features")


@dataclass(frozen=True)
class _Part:
    """The cost of one module: `product` is proportional to inputs times outputs, `linear` to the outputs."""

    inputs: int
    outputs: int
    product: int
    linear: int

    def saved(self, inputs: int, outputs: int) -> int:
        """The cost that is saved when so many inputs and outputs are removed."""
        left = (self.inputs - inputs) * (self.outputs - outputs)
        return (
            self.product - self.product * left // (self.inputs * self.outputs) + self.linear * outputs // self.outputs
        )


@dataclass(frozen=True)
class _Costs:
    """The `total` cost of a model, and the parts of it that become smaller when filters are removed."""

    total: int
    parts: dict[nn.Module, _Part]

    def without(self, removed: Counter[Side]) -> int:
        """The total after so many inputs and outputs of modules are removed."""
        touched = {module for module, _ in removed} & self.parts.keys()
        return self.total - sum(
            self.parts[module].saved(removed[module, "in"], removed[module, "out"]) for module in touched
        )


def costs(model: nn.Module, images: Tensor, target: Target, groups: list[Group]) -> _Costs:
    """The costs of a model, which must be in eval mode.

    Args:
        images: one image (1, C, H, W).
        target: ``filters``: the number of filters in `groups`; ``params``: the number of all parameters; ``macs``: the
            multiply-accumulates of one image.
        groups: the filters that may be removed.
    """
    modules = {module for group in groups for take in group.takes for module, _ in take if list(module.parameters())}
    if target == "filters":
        everything = sum((take for group in groups for take in group.takes), Counter())
        own = {module: everything[module, "out"] for module in modules if isinstance(module, LAYERS)}
        return _Costs(sum(own.values()), {module: _part(module, 0, _width(module, _OUTPUTS)) for module in own})
    if target == "params":
        parts = {module: _part(module, _weights(module), _parameters(module) - _weights(module)) for module in modules}
        return _Costs(_parameters(model), parts)
    products = count_products(model, images)
    macs = {module: use.macs for (module, name), use in products.uses.items() if name == "weight"}
    return _Costs(products.macs, {module: _part(module, macs.get(module, 0), 0) for module in modules})


def _part(module: nn.Module, product: int, linear: int) -> _Part:
    """The cost of a module with its present inputs and outputs."""
    return _Part(_width(module, _INPUTS), _width(module, _OUTPUTS), product, linear)


def _width(module: nn.Module, names: tuple[str, ...]) -> int:
    """The number of a module's inputs or outputs: its first attribute among `names`, or 1 if it has none of them."""
    return next((getattr(module, name) for name in names if hasattr(module, name)), 1)


def _parameters(module: nn.Module) -> int:
    """Number of all parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def _weights(module: nn.Module) -> int:
    """The number of weights of a convolution or linear layer, without biases; 0 for other modules."""
    return module.weight.numel() if isinstance(module, LAYERS) else 0
