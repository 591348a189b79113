"""The multiply-accumulates of a forward pass, operation by operation, and the weights that take part in them.

Operations are seen below modules and functions, so that a weight counts however the model reads it: by calling its
layer, by ``F.linear(x, layer.weight)``, by an einsum, or after a transformation such as weight standardization.
"""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from effdl.nn.hooks import forward_hooks
from effdl.nn.layers import weights
from effdl.nn.origins import Origins
from effdl.nn.quantizers import ActivationQuantizer, ActivationSign, activation_quantizers

_aten = torch.ops.aten
# Which arguments of an operation are multiplied with each other; attention multiplies activations only.
_FACTORS = {
    **dict.fromkeys((_aten.mm, _aten.bmm, _aten.mv, _aten.dot, _aten._scaled_mm), (0, 1)),
    **dict.fromkeys((_aten.convolution, _aten._convolution, _aten.cudnn_convolution), (0, 1)),
    **dict.fromkeys((_aten.addmm, _aten.baddbmm, _aten.addmv), (1, 2)),
    _aten._trilinear: (0, 1),
}
# What PyTorch's counter leaves out: each element of a matrix is multiplied once, and of nn.Bilinear's once per row.
_MORE_MACS = {
    _aten.mv: lambda args, out: args[0].numel(),
    _aten.addmv: lambda args, out: args[1].numel(),
    _aten.dot: lambda args, out: args[0].numel(),
    _aten._trilinear: lambda args, out: args[1].numel() * (out.numel() // out.shape[-1]),
}


@dataclass
class Use:
    """What one forward pass does with a weight.

    `inputs` is the number of the activations that are multiplied by it, and `input_bits` the sum of their bits.
    `changed` says that tensors with other zeros than the stored ones were multiplied.
    """

    macs: int = 0
    macs_nonzero: int = 0
    inputs: int = 0
    input_bits: int = 0
    changed: bool = False


@dataclass
class Products:
    """All multiply-accumulates of one forward pass.

    `macs_nonzero` leaves out those with a zero of a weight, or of what the pass makes of a weight; `uses` are by module
    and attribute (as in `nn.layers.weights`); products of activations, or of parameters of no layer, are in the totals
    only. `uncounted` are operations on weights of unknown arithmetic: their names, by the parameters' names.
    """

    macs: int = 0
    macs_nonzero: int = 0
    uses: dict[tuple[nn.Module, str], Use] = field(default_factory=dict)
    uncounted: dict[str, str] = field(default_factory=dict)


@torch.no_grad()
def count_products(model: nn.Module, images: Tensor) -> Products:
    """Run a model in eval mode once on images (n, C, H, W) and count.

    Of parametrized weights the parametrizations are counted, too, unless they are cached.
    """
    counter = _Counter(model, images)
    layers = {module for _, module, _ in weights(model)}
    with (
        forward_hooks(layers, counter.enter, before=True),
        forward_hooks(activation_quantizers(model), counter.quantized),
        unfused(model),
        counter,
    ):
        model(images)
    return counter.found


@contextmanager
def unfused(model: nn.Module) -> Iterator[None]:
    """Attention and recurrent layers run as plain matrix products, since no counter can see inside fused kernels."""
    fastpath = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with ExitStack() as stack:
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            if any(isinstance(module, nn.RNNBase) for module in model.modules()):
                stack.enter_context(warnings.catch_warnings(action="ignore"))  # oneDNN's flags warn of another one
                stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
                stack.enter_context(torch.backends.cudnn.flags(enabled=False))
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)


class _Counter(TorchDispatchMode):
    """Sees every operation below autograd, and counts those that multiply and accumulate."""

    def __init__(self, model: nn.Module, images: Tensor):
        super().__init__()
        self.found, self.origins = Products(), Origins(model, images)
        self.entered: nn.Module | None = None  # the layer that was called last

    def enter(self, module: nn.Module, arguments: tuple) -> None:
        """Hook before a layer."""
        self.entered = module

    def quantized(self, module: ActivationQuantizer | ActivationSign, arguments: tuple, output: Tensor) -> None:
        """Hook after an activation quantizer."""
        self.origins.set_bits(output, module.bits)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        operation = func._overloadpacket
        if operation in flop_registry:
            self._count(operation, args, flop_registry[operation](*args, **(kwargs or {}), out_val=out) // 2)
        elif operation in _MORE_MACS:
            self._count(operation, args, _MORE_MACS[operation](args, out))
        else:
            self.found.uncounted |= self.origins.unknown_products(func, (args, kwargs))
        self.origins.follow(func, (args, kwargs), out)
        return out

    def _count(self, operation: object, args: tuple, macs: int) -> None:
        """Add the multiply-accumulates of an operation, and to the weight that it multiplies."""
        self.found.macs += macs
        self.found.macs_nonzero += macs
        # Of two factors that are made of parameters the second is the weight, unless only the first is a layer's.
        factors = [args[position] for position in reversed(_FACTORS.get(operation, ()))]
        made = [factor for factor in factors if self.origins.of_parameters(factor) and factor.numel()]
        if not made:
            return
        weight = next((factor for factor in made if self.origins.layer_of(factor, self.entered)), made[0])
        nonzero = macs * int(torch.count_nonzero(weight)) // weight.numel()
        self.found.macs_nonzero -= macs - nonzero
        if layer := self.origins.layer_of(weight, self.entered):
            other = factors[1] if weight is factors[0] else factors[0]
            use = self.found.uses.setdefault(layer, Use())
            use.macs += macs
            use.macs_nonzero += nonzero
            use.inputs += other.numel()
            use.input_bits += other.numel() * self.origins.bits(other)
            use.changed |= self.origins.changed(weight, layer)
