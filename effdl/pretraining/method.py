"""The contract between methods of pretraining and the run.

A **method** says what is minimized, on which views::

    @pretraining_method(check)
    def simclr(model: nn.Module, data: Data, *, views: Callable, ...) -> Pretext:

It is given the untrained model and the data of the run, of which it needs the shapes. Its keyword-only parameters are
keys of its config, besides those that all methods share (`effdl.pretraining.trunk.pretrain`). The run trains and
measures.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from effdl.models.build import dry_run
from effdl.models.surgery import last_layer
from effdl.pretraining.library import from_lightly
from effdl.utils.errors import UserError


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


def compares_views(model: nn.Module, views: Mapping, input_shape: tuple[int, int, int]) -> None:
    """The check of methods that compare views by the losses of lightly.

    Args:
        views: the keys of `effdl.data.random_views`.

    Raises:
        UserError: lightly is not installed, or the model takes no images of the views' size.
    """
    from_lightly("loss", "NTXentLoss")
    if size := views.get("size"):
        try:
            dry_run(model, "", input_shape[0], size, len(last_layer(model)[1].weight))
        except UserError as error:
            raise UserError(
                f"pretraining.views.size={size}: this model takes no images of that size (allowed: null,"
                f" for {input_shape[1]}, or another model)"
            ) from error
