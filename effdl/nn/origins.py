"""Where the tensors of a forward pass come from: from the images, or from parameters alone, and from which."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.utils import parametrize
from torch.utils._pytree import tree_leaves

from effdl.nn.layers import weights

_aten = torch.ops.aten
# Operations whose results are values of their inputs, or zero: they keep the number of bits.
_PASSING = {
    *(_aten.relu, _aten.relu_, _aten.max_pool2d_with_indices, _aten.max_pool3d_with_indices, _aten.adaptive_max_pool2d),
    *(_aten.clone, _aten.copy_, _aten.cat, _aten.stack, _aten.constant_pad_nd, _aten.roll, _aten.flip, _aten.index),
    *(_aten.index_select, _aten.gather, _aten.im2col, _aten.channel_shuffle, _aten.pixel_shuffle),
    *(_aten.reflection_pad1d, _aten.reflection_pad2d, _aten.replication_pad1d, _aten.replication_pad2d),
}
# Operations on weights and activations that do not accumulate products, besides those that work element by element.
_HARMLESS = _PASSING | {
    *(_aten.native_batch_norm, _aten._native_batch_norm_legit_no_training, _aten._native_batch_norm_legit),
    *(_aten.native_layer_norm, _aten.native_group_norm, _aten._fused_rms_norm, _aten.embedding, _aten._softmax),
    *(_aten.index_put, _aten.index_put_, _aten.select_scatter, _aten.slice_scatter, _aten.masked_fill),
}
_Layer = tuple[nn.Module, str]  # module and attribute of a weight, as in `nn.layers.weights`


@dataclass
class _Memory:
    """What is known of a storage: tensors that share it have the same origin.

    `sources` are the numbers of the parameters that its values were made of, `parameters` those that lie in it: their
    first and last element and their number.
    """

    reference: StorageWeakRef  # keeps the key from being used again, but not the values alive
    data: bool = False
    bits: int | None = None
    sources: frozenset[int] = frozenset()
    parameters: list[tuple[int, int, int]] = field(default_factory=list)


class Origins:
    """The origins of all tensors of a forward pass, known by their storage.

    Args:
        model: its parameters, parametrized ones as the forward pass sees them.
        images: the input: what is made of it is data.
    """

    def __init__(self, model: nn.Module, images: Tensor):
        self._memories: dict[int, _Memory] = {}
        self._names: list[str] = []
        self._layers: list[
            list[_Layer]
        ] = []  # of each parameter, by its number, the weights of the modules that own it
        self._weights = {module: (module, attribute) for _, module, attribute in weights(model)}
        numbers: dict[tuple[int, int, int], int] = {}
        for name, module, attribute, tensor in _parameters(model):
            memory, start = self._memory(tensor), tensor.storage_offset()
            place = (id(memory), start, start + tensor.numel())
            if place not in numbers:
                numbers[place] = len(self._names)
                memory.parameters.append((*place[1:], numbers[place]))
                self._names.append(f"{name}.{attribute}".lstrip("."))
                self._layers.append([])
            if module in self._weights:
                self._layers[numbers[place]].append(self._weights[module])
        self._memory(images).data = True

    def follow(self, func, inputs: object, outputs: object) -> None:
        """Note where the results of an operation come from."""
        read = [tensor for tensor in tree_leaves(inputs) if isinstance(tensor, Tensor)]
        memories = [self._memory(tensor) for tensor in read]
        data = any(memory.data for memory in memories)
        sources = frozenset().union(*(self._sources(tensor) for tensor in read))
        bits = [memory.bits for memory in memories if memory.data]
        passed = max(bits) if func._overloadpacket in _PASSING and bits and None not in bits else None
        for tensor in tree_leaves(outputs):
            if isinstance(tensor, Tensor):
                memory = self._memory(tensor)
                if any(memory is other for other in memories) and not func._schema.is_mutable:
                    continue  # a view
                memory.data |= data
                memory.bits = passed
                memory.sources |= sources

    def of_parameters(self, tensor: Tensor) -> bool:
        """Whether a tensor is made of parameters and not of the images."""
        return not self._memory(tensor).data and bool(self._sources(tensor))

    def layer_of(self, tensor: Tensor, called: nn.Module | None) -> _Layer | None:
        """The one weight that a tensor is made of; None of others. A shared weight is that of the layer `called`."""
        if not self.of_parameters(tensor):
            return None
        owners = [self._layers[source] for source in self._sources(tensor)]
        found = {next((one for one in layers if one[0] is called), layers[0]) for layers in owners if layers}
        return found.pop() if len(found) == 1 else None

    def changed(self, tensor: Tensor, layer: _Layer) -> bool:
        """Whether a tensor that is made of a weight has other zeros than that."""
        if self._memory(tensor).parameters:
            return False
        stored = getattr(*layer)
        zeros, own = (one.numel() - int(torch.count_nonzero(one)) for one in (stored, tensor))
        return zeros * tensor.numel() != own * stored.numel()

    def bits(self, tensor: Tensor) -> int:
        """Number of bits of the elements of a tensor: of its quantizer, or of its format."""
        return self._memory(tensor).bits or 8 * tensor.dtype.itemsize

    def set_bits(self, tensor: Tensor, bits: int) -> None:
        """Note that a quantizer gave a tensor."""
        self._memory(tensor).bits = bits

    def unknown_products(self, func, inputs: object) -> dict[str, str]:
        """If an operation may multiply and accumulate, the name of it by the names of the matrices that it is given."""
        if torch.Tag.pointwise in func.tags or func._overloadpacket in _HARMLESS:
            return {}
        read = [tensor for tensor in tree_leaves(inputs) if isinstance(tensor, Tensor)]
        if not any(self._memory(tensor).data for tensor in read):
            return {}
        matrices = [one for one in read if one.squeeze().ndim > 1 and self.of_parameters(one)]
        return {self._names[source]: str(func) for one in matrices for source in self._sources(one)}

    def _memory(self, tensor: Tensor) -> _Memory:
        storage = tensor.untyped_storage()
        if (found := self._memories.get(storage._cdata)) is None:
            found = self._memories[storage._cdata] = _Memory(StorageWeakRef(storage))
        return found

    def _sources(self, tensor: Tensor) -> frozenset[int]:
        memory, at = self._memory(tensor), tensor.storage_offset()
        return memory.sources.union(number for start, end, number in memory.parameters if start <= at < end)


def _parameters(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor]]:
    """Name, module, attribute and tensor of all parameters; of parametrized tensors the original, and the result."""
    for name, module in model.named_modules():
        for attribute, tensor in module.named_parameters(recurse=False, remove_duplicate=False):
            yield name, module, attribute, tensor
        for attribute, steps in module.parametrizations.items() if parametrize.is_parametrized(module) else ():
            yield name, module, attribute, getattr(module, attribute)
            for original in steps.parameters(recurse=False):
                yield name, module, attribute, original
