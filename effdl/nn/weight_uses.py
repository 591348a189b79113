"""How often the weights of each layer are multiplied in one forward pass."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from effdl.nn.flops import counting
from effdl.nn.hooks import forward_hooks
from effdl.nn.layers import TRANSPOSED, weights


@dataclass
class Positions:
    """Numbers of pixels (of a linear layer: rows) that a layer reads and gives, summed over images and calls.

    `between` counts those of a map with the height of the output and the width of the input; it is 0 unless the layer
    is an ``nn.Conv2d``.
    """

    inputs: int = 0
    between: int = 0
    outputs: int = 0

    def add(self, inputs: int, between: int, outputs: int) -> None:
        """Add the positions of one call."""
        self.inputs += inputs
        self.between += between
        self.outputs += outputs


_PositionsOf = dict[tuple[nn.Module, str], list[Positions]]


@torch.no_grad()
def count_positions(model: nn.Module, images: Tensor) -> tuple[int, _PositionsOf]:
    """Run a model once and count.

    Args:
        model: in eval mode. Weights that it reads without calling their layer are not found; those of
            ``nn.MultiheadAttention``, which is one call, are.
        images: (n, C, H, W).

    Returns:
        The multiply-accumulates of the whole model, and by module and attribute (as in `nn.layers.weights`), in the
        order of the first calls, the positions of each of the equal parts that the weight consists of along its first
        dimension: queries, keys and values for ``in_proj_weight``, else a single one.
    """
    found: _PositionsOf = {}

    def parts(module: nn.Module, attribute: str, count: int) -> list[Positions]:
        return found.setdefault((module, attribute), [Positions() for _ in range(count)])

    def after_layer(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> None:
        x = args[0] if args else kwargs["input"]
        linear = isinstance(module, nn.Linear)
        inputs, outputs = (
            (module.in_features, module.out_features) if linear else (module.in_channels, module.out_channels)
        )
        image = isinstance(module, nn.Conv2d)
        between = x.numel() // x.shape[-2] * output.shape[-2] // inputs if image else 0
        parts(module, "weight", 1)[0].add(x.numel() // inputs, between, output.numel() // outputs)

    def after_attention(module: nn.MultiheadAttention, args: tuple, kwargs: dict, output: tuple) -> None:
        # The projections are applied by a function, not by calling submodules, hence one hook for all four.
        given = {**dict(zip(("query", "key", "value"), args, strict=False)), **kwargs}
        rows = [given[name].numel() // given[name].shape[-1] for name in ("query", "key", "value")]
        if module.in_proj_weight is not None:
            for part, number in zip(parts(module, "in_proj_weight", 3), rows, strict=True):
                part.add(number, 0, number)
        parts(module.out_proj, "weight", 1)[0].add(rows[0], 0, rows[0])

    layers = [module for _, module, attribute in weights(model) if attribute == "weight"]
    attentions = [module for module in model.modules() if isinstance(module, nn.MultiheadAttention)]
    with (
        forward_hooks(layers, after_layer, with_kwargs=True),
        forward_hooks(attentions, after_attention, with_kwargs=True),
        counting() as counter,
    ):
        model(images)
    return counter.get_total_flops() // 2, found


def uses(module: nn.Module, positions: Positions) -> int:
    """How often each element of a layer's weight is multiplied: once per output position, or if the layer is a
    transposed convolution, per input position.
    """
    return positions.inputs if isinstance(module, TRANSPOSED) else positions.outputs
