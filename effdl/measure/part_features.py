"""The features that leave each part of a network, as one vector per image, and what it costs to get there."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from effdl.measure.eval_mode import eval_mode, example_input
from effdl.models.parts import Part
from effdl.nn.flops import counting
from effdl.nn.hooks import forward_hooks
from effdl.nn.layers import weights
from effdl.nn.pooled import pooled
from effdl.nn.row_buffer import RowBuffer


def part_features(
    model: nn.Module, parts: list[Part], batches: Iterable[tuple[Tensor, Tensor]], images: int
) -> list[Tensor]:
    """What leaves each part, averaged over positions: float32 (N, D) on the CPU.

    Args:
        parts: some of those that `effdl.models.parts` gives.
        batches: normalized images (n, C, H, W) and labels.
        images: how many there are in all batches.
    """
    found = [RowBuffer(images) for _ in parts]
    with eval_mode(model), ExitStack() as hooks:
        for part, kept in zip(parts, found, strict=True):
            hooks.enter_context(_at_the_end(model, part, lambda x, kept=kept: kept.add(x.float().cpu())))
        for batch, _ in batches:
            model(batch)
    return [kept.all() for kept in found]


def costs(model: nn.Module, parts: list[Part], input_shape: tuple[int, int, int]) -> list[tuple[int, int]]:
    """For each part, the multiply-accumulates of an image up to its end, and the number D of its features."""
    found: dict[str, tuple[int, int]] = {}
    with eval_mode(model), counting(model) as counter, ExitStack() as hooks:
        for part in parts:
            note = lambda x, part=part: found.update({part.name: (counter.total // 2, x.shape[1])})  # noqa: E731
            hooks.enter_context(_at_the_end(model, part, note))
        model(example_input(model, (1, *input_shape)))
    return [found[part.name] for part in parts]


def _at_the_end(model: nn.Module, part: Part, use: Callable[[Tensor], object]) -> ExitStack:
    """Call a function with the vectors (n, D) that leave a part."""
    outputs = {
        getattr(module, name).shape[0] for one in part.modules for _, module, name in weights(model.get_submodule(one))
    }

    def hook(module: nn.Module, arguments: tuple, output: object) -> None:
        x = next(leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor))
        tokens = x.ndim == 3 or (x.ndim == 4 and x.shape[1] not in outputs and x.shape[-1] in outputs)
        use(pooled(x, channels_last=tokens))

    return forward_hooks([model.get_submodule(part.modules[-1])], hook)
