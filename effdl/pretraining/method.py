"""The contract between methods of pretraining and the run.

A **method** is a function from model to model, as methods of compression are::

    @pretraining_method(check)
    def simclr(model: nn.Module, trainer: Trainer, *, epochs: Count, ...) -> nn.Module:

It trains once, by `Trainer.pretrain`, and gives back the model with the last layer that it had. The run measures.
"""

from collections.abc import Callable

from effdl.pretraining.library import from_lightly


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
