"""The outputs or inputs of a model's layers in a forward pass, noted by hooks that can be removed without a trace."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from effdl.nn.hooks import forward_hooks


class Features:
    """The outputs (or with `inputs` the first inputs) of named layers in the latest forward pass, until `close()`.

    With `channels`, the number for each layer, they are maps (n, C, H, W).

    This is no ``nn.Module``: a loss that holds one has nothing of the model among its own parameters or in its state
    dict.
    """

    def __init__(self, model: nn.Module, layers: list[str], channels: list[int] | None = None, *, inputs: bool = False):
        self.layers, self.channels = layers, channels
        self.latest: dict[str, Tensor] = {}
        keep = _keep_input if inputs else _keep_output
        with ExitStack() as hooks:
            for name in layers:
                hooks.enter_context(forward_hooks([model.get_submodule(name)], keep(self.latest, name)))
            self.hooks = hooks.pop_all()

    def take(self) -> list[Tensor]:
        """The features in the order of `layers`; they are then forgotten, so that no graph outlives its batch."""
        taken = [self.latest[name] for name in self.layers]
        self.latest.clear()
        return taken if self.channels is None else list(map(as_map, taken, self.channels))

    def close(self) -> None:
        """Remove the hooks and forget the features."""
        self.hooks.close()
        self.latest.clear()


class Teacher:
    """A frozen model that is called without gradients, and the `features` of its layers. No ``nn.Module``, either."""

    def __init__(
        self,
        model: nn.Module,
        layers: list[str] | None = None,
        channels: list[int] | None = None,
        *,
        inputs: bool = False,
    ):
        self.model, self.features = model, Features(model, layers or [], channels, inputs=inputs)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, C, H, W)."""
        return self.model(images)


class FeatureLoss(nn.Module):
    """A distillation loss that compares features of the student with features of the teacher.

    Args:
        student, teacher: features of equally many layers.
    """

    def __init__(self, student: Features, teacher: Teacher):
        super().__init__()
        self.student, self.teacher = student, teacher

    def pairs(self, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Features of the student's latest forward pass, each with the teacher's for the same images (n, C, H, W)."""
        self.teacher(images)
        return zip(self.student.take(), self.teacher.features.take(), strict=True)

    def close(self) -> None:
        """Remove the hooks."""
        self.student.close()
        self.teacher.features.close()


# Hooks are functions, not methods: a copy of a model (a running average) shares them instead of copying what they hold.
def _keep_output(latest: dict[str, Tensor], name: str) -> Callable:
    """A forward hook that stores a layer's output under its name."""

    def hook(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        latest[name] = output

    return hook


def _keep_input(latest: dict[str, Tensor], name: str) -> Callable:
    """A forward hook that stores a layer's first input under its name."""

    def hook(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        latest[name] = inputs[0]

    return hook


def as_map(feature: Tensor, channels: int | None = None) -> Tensor:
    """A feature as a map (n, C, H, W): vectors (n, C) have one pixel, tokens (n, H*W, C) are laid out as a square.

    A number of tokens that is no square number (for example with a class token) becomes a column (n, C, tokens, 1).

    Args:
        channels: C, by which a map (n, H, W, C) is known (Swin transformers); None: that of a map (n, C, H, W).
    """
    if feature.ndim == 2:
        return feature[:, :, None, None]
    if feature.ndim == 3:
        side = int(feature.shape[1] ** 0.5)
        shape = (side, side) if side**2 == feature.shape[1] else (feature.shape[1], 1)
        return feature.transpose(1, 2).unflatten(2, shape)
    return feature if channels in (None, feature.shape[1]) else feature.permute(0, 3, 1, 2)


def at_same_size(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps (n, C, H, W), averaged down to the smaller height and the smaller width of the two."""
    size = torch.Size(map(min, first.shape[2:], second.shape[2:]))
    # A map that has the size already is not pooled: on a GPU the backward pass of this pooling is not deterministic.
    return tuple(x if x.shape[2:] == size else nn.functional.adaptive_avg_pool2d(x, size) for x in (first, second))
