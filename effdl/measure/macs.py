"""Multiply-accumulates of one inference, counted on the operations that really run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.measure.eval_mode import eval_mode, example_input
from effdl.nn.flops import counting
from effdl.nn.layers import weights

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass
class LayerMacs:
    """One weight tensor and the multiply-accumulates it takes part in."""

    name: str
    module: nn.Module
    attribute: str
    macs: int
    macs_nonzero: int


def macs(model: nn.Module, input_shape: tuple[int, int, int]) -> dict:
    """``macs`` of one input (C, H, W), attention products included, and ``macs_nonzero``, those whose weight is not
    zero (products of two activations all count). Both are exact integers; padding counts as input.

    The model is left as it was: mode, random state, hooks.
    """
    total, layers = trace(model, input_shape)
    return {"macs": total, "macs_nonzero": total - sum(layer.macs - layer.macs_nonzero for layer in layers)}


def trace(model: nn.Module, input_shape: tuple[int, int, int]) -> tuple[int, list[LayerMacs]]:
    """Run one input; return the MACs of the whole model and of each weight, in the order of `nn.layers.weights`."""
    x = example_input(model, (1, *input_shape))
    with (
        eval_mode(model),
        torch.random.fork_rng(devices=[x.device] if x.is_cuda else []),
        recorded_uses(model) as uses,
    ):
        compute_parametrizations(model)
        with counting() as counter:
            model(x)
        layers = [
            LayerMacs(name, module, attribute, *weight_macs(getattr(module, attribute), uses.get((module, attribute))))
            for name, module, attribute in weights(model)
        ]
    return counter.get_total_flops() // 2, layers


def weight_macs(weight: torch.Tensor, uses: list[int] | None) -> tuple[int, int]:
    """MACs of a weight tensor and those of its non-zero elements.

    Every element is multiplied equally often: once per output position (Linear: per row). `uses` holds that number
    for each of the equal parts the tensor is cut into along its first dimension, or is None if it was not used.
    """
    if uses is None:
        return 0, 0
    parts = weight.chunk(len(uses))
    return (
        sum(n * part.numel() for n, part in zip(uses, parts, strict=True)),
        sum(n * int(torch.count_nonzero(part)) for n, part in zip(uses, parts, strict=True)),
    )


@contextmanager
def recorded_uses(model: nn.Module) -> Iterator[dict[tuple[nn.Module, str], list[int]]]:
    """While active, count how often the elements of each weight are multiplied, summed over the calls of its layer."""
    uses: dict[tuple[nn.Module, str], list[int]] = {}

    def add(module, attribute, counts):
        before = uses.get((module, attribute), [0] * len(counts))
        uses[module, attribute] = [a + b for a, b in zip(before, counts, strict=True)]

    def layer_hook(module, args, kwargs, output):
        if isinstance(module, TRANSPOSED):
            x = args[0] if args else kwargs["input"]
            add(module, "weight", [x.numel() // module.in_channels])
        else:
            features = module.out_features if isinstance(module, nn.Linear) else module.out_channels
            add(module, "weight", [output.numel() // features])

    def attention_hook(module, args, kwargs, output):
        # The projections are applied by a function, not by calling submodules, hence one hook for all four.
        inputs = {**dict(zip(("query", "key", "value"), args, strict=False)), **kwargs}
        rows = [inputs[name].numel() // inputs[name].shape[-1] for name in ("query", "key", "value")]
        if module.in_proj_weight is not None:
            add(module, "in_proj_weight", rows)
        add(module.out_proj, "weight", rows[:1])

    layers = [module for _, module, attribute in weights(model) if attribute == "weight"]
    attentions = [module for module in model.modules() if isinstance(module, nn.MultiheadAttention)]
    handles = [module.register_forward_hook(layer_hook, with_kwargs=True) for module in layers]
    handles += [module.register_forward_hook(attention_hook, with_kwargs=True) for module in attentions]
    try:
        yield uses
    finally:
        for handle in handles:
            handle.remove()


def compute_parametrizations(model: nn.Module) -> None:
    """Fill the cache of `eval_mode` now, so that the arithmetic of parametrizations is not counted as the model's."""
    for module in model.modules():
        if parametrize.is_parametrized(module):
            for name in module.parametrizations:
                getattr(module, name)
