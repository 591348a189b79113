"""Pretraining trains the trunk: a model without its last layer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn

from effdl.config.instantiate import instantiate, keywords
from effdl.config.types import Count, Positive
from effdl.data.build import Data
from effdl.models.surgery import last_layer
from effdl.nn.pooled import pooled
from effdl.pretraining.method import Pretext
from effdl.training.trainer import Trainer
from effdl.utils.errors import RunError


class _Features(nn.Module):
    """In place of the last layer: passes on what enters it, (n, D), averaged over positions if there are any."""

    def __init__(self, channels_last: bool) -> None:
        super().__init__()
        self.channels_last = channels_last

    def forward(self, x: Tensor) -> Tensor:
        return x if x.ndim == 2 else pooled(x, channels_last=self.channels_last)


@contextmanager
def trunk_of(model: nn.Module) -> Iterator[nn.Module]:
    """In the ``with`` block the model gives features (n, D); after it, it has its last layer again, as it was."""
    name, layer = last_layer(model)
    model.set_submodule(name, _Features(channels_last=isinstance(layer, nn.Linear)))
    try:
        yield model
    finally:
        model.set_submodule(name, layer)


def pretrain(
    model: nn.Module,
    trainer: Trainer,
    method: Callable[[nn.Module, Data], Pretext],
    *,
    epochs: Count,
    batch_size: Count | None = None,
    lr_scale: Positive = 1.0,
) -> nn.Module:
    """Train all of a model but its last layer by a method; returns the model, with this layer as it was.

    Args:
        method: see `effdl.pretraining.method`.
        epochs, batch_size, lr_scale: see `Trainer.pretrain`; these are keys of all methods.

    Raises:
        RunError: the method gave something else than a `Pretext`.
    """
    if not isinstance(pretext := method(model, trainer.data), Pretext):
        raise RunError(f"a method of pretraining must give an effdl.pretraining.method.Pretext, not {pretext!r}")
    with trunk_of(model) as trunk:
        trainer.pretrain(trunk, *pretext, epochs=epochs, batch_size=batch_size, lr_scale=lr_scale)
    return model


def method_of(node: dict) -> Callable[[nn.Module, Data], Pretext]:
    """The method that a config's node names, with its own keys."""
    shared = keywords(pretrain)
    return instantiate({key: value for key, value in node.items() if key not in shared})


def pretraining_of(node: dict) -> Callable[[nn.Module, Trainer], nn.Module]:
    """The step of a run that a config's node describes."""
    return partial(pretrain, method=method_of(node), **{key: node[key] for key in keywords(pretrain) if key in node})
