"""A model without its last layer, which is what pretraining trains."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from effdl.models.surgery import last_layer
from effdl.nn.pooled import pooled
from effdl.training.trainer import Trainer


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
    objective: Callable[[nn.Module], nn.Module],
    augment: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    **how,
) -> nn.Module:
    """Train all of a model but its last layer; returns the model, with this layer as it was.

    Args:
        objective, augment, how: see `Trainer.pretrain`.
    """
    with trunk_of(model) as trunk:
        trainer.pretrain(trunk, objective, augment, **how)
    return model
