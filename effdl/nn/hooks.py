"""Forward hooks that are removed again, also after an error."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack

from torch import nn


def forward_hooks(
    modules: Iterable[nn.Module], hook: Callable, *, before: bool = False, with_kwargs: bool = False
) -> ExitStack:
    """Register one hook on every module, from this call to the end of the ``with`` block (or to ``close()``).

    Args:
        modules: on which the hook is registered; those of a lazy iterable are collected first.
        hook: ``hook(module, args, output)``; what it returns, unless that is None, replaces the output.
        before: call ``hook(module, args)`` before the forward pass of the module instead of after it.
        with_kwargs: pass the keyword arguments too, after the positional ones.
    """
    with ExitStack() as handles:
        for module in list(modules):
            register = module.register_forward_pre_hook if before else module.register_forward_hook
            handles.enter_context(register(hook, with_kwargs=with_kwargs))
        return handles.pop_all()
