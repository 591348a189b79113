"""The contract between methods of pretraining and the run.

A **method** says what is minimized, on which views::

    @pretraining_method(check)
    def simclr(model: nn.Module, data: Data, *, views: Callable, ...) -> Pretext:

It is given the untrained model and the data of the run, of which it needs the shapes. Its keyword-only parameters are
keys of its config, besides those that all methods share (`effdl.pretraining.trunk.pretrain`). The run trains and
measures.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from effdl.pretraining.library import from_lightly


class Pretext(NamedTuple):
    """What a training without labels minimizes.

    Args:
        objective: makes it of the trunk, the model without its last layer; see `effdl.training.objective`.
        augment: makes what the trunk is given of uint8 images (n, C, H, W) and labels (n,): images (n, C, H, W) or
            views (n, views, C, H, W), in 0..255 units, and the objective's targets; see `effdl.data.random_views`.
    """

    objective: Callable[[nn.Module], nn.Module]
    augment: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def pretraining_method(check: Callable) -> Callable[[Callable], Callable]:
    """Decorator that declares a function to be a method of pretraining.

    Args:
        check: ``check(model, **keys)`` raises UserError if the method cannot work on the untrained model; it is given
            those of the method's keys that it has parameters for, and `input_shape` (C, H, W) if it asks for it.
    """

    def mark(function: Callable) -> Callable:
        function.check = check
        return function

    return mark


def needs_lightly(model) -> None:
    """The check of methods that take their losses from lightly.

    Raises:
        UserError: it is not installed.
    """
    from_lightly("loss", "NTXentLoss")
