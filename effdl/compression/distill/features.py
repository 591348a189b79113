"""What the layers of a model give at a forward pass, by hooks that go away without a trace."""

from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from effdl.nn.hooks import forward_hooks


class Features:
    """The outputs (or inputs) of named layers at the latest forward pass of a model, until `close()`.

    No module: a guide that holds one has nothing of the model in its own parameters or state dict.
    """

    def __init__(self, model: nn.Module, layers: list[str], *, inputs: bool = False):
        self.layers = layers
        self.latest: dict[str, Tensor] = {}
        keep = keep_input if inputs else keep_output
        with ExitStack() as hooks:
            for name in layers:
                hooks.enter_context(forward_hooks([model.get_submodule(name)], keep(self.latest, name)))
            self.hooks = hooks.pop_all()

    def take(self) -> list[Tensor]:
        """What the layers gave, in the order of their names; it is forgotten, so that no graph outlives its batch."""
        taken = [self.latest[name] for name in self.layers]
        self.latest.clear()
        return taken

    def close(self) -> None:
        """Remove the hooks."""
        self.hooks.close()
        self.latest.clear()


class Teacher:
    """A frozen model that answers without gradients, and what its layers gave while it did. No module, as above."""

    def __init__(self, model: nn.Module, layers: list[str] | None = None, *, inputs: bool = False):
        self.model, self.features = model, Features(model, layers or [], inputs=inputs)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, C, H, W)."""
        return self.model(images)


# Hooks are functions, not methods: a copy of a model (a running average) shares them instead of copying what they hold.
def keep_output(latest: dict[str, Tensor], name: str) -> Callable:
    """A forward hook that notes a layer's output."""

    def hook(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        latest[name] = output

    return hook


def keep_input(latest: dict[str, Tensor], name: str) -> Callable:
    """A forward hook that notes a layer's first input."""

    def hook(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        latest[name] = inputs[0]

    return hook


def as_map(feature: Tensor) -> Tensor:
    """A feature as a map (n, C, H, W): vectors (n, C) have one pixel, tokens (n, H*W, C) are laid out as a square.

    Tokens that make no square (a class token among them) become a column (n, C, tokens, 1).
    """
    if feature.ndim == 2:
        return feature[:, :, None, None]
    if feature.ndim == 3:
        side = int(feature.shape[1] ** 0.5)
        shape = (side, side) if side**2 == feature.shape[1] else (feature.shape[1], 1)
        return feature.transpose(1, 2).unflatten(2, shape)
    return feature


def at_same_size(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps (n, C, H, W), each side averaged down to the smaller of the two."""
    size = torch.Size(map(min, first.shape[2:], second.shape[2:]))
    # Nothing to do is done by nothing: on a GPU the backward pass of this pooling is not deterministic.
    return tuple(x if x.shape[2:] == size else nn.functional.adaptive_avg_pool2d(x, size) for x in (first, second))
