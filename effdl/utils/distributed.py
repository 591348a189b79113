"""Runs of several processes: those that ``torchrun`` started work in step, and only the first one prints and writes.

A program that was not started by ``torchrun`` is a group of one process, for which no function here communicates.
PyTorch is imported only for groups of several processes.
"""

import atexit
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from datetime import timedelta
from typing import NoReturn, TypeVar

from effdl.utils.errors import RunError

_T = TypeVar("T")
_PATIENCE = timedelta(days=7)  # time limit for the others while the first process measures


class Followed(RunError):
    """The run ended because another of its processes failed and reported the reason."""


class Group:
    """The processes of this run; `store` is their shared key-value store."""

    rank, size, local_rank, local_size = 0, 1, 0, 1
    store = None


def launched() -> bool:
    """Whether ``torchrun`` started this process and at least one other."""
    return "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def world_size() -> int:
    """The number of processes."""
    return Group.size


def rank() -> int:
    """The rank of this process, from 0."""
    return Group.rank


def is_main() -> bool:
    """Whether this is the first process, the only one that prints and writes."""
    return Group.rank == 0


def from_main(function: Callable[[], _T]) -> _T:
    """Call `function` in the first process only and return its result in all; the others wait without using the CPU."""
    if Group.size == 1:
        return function()
    from torch import distributed

    found = [function() if is_main() else None]
    distributed.broadcast_object_list(found, device="cpu")  # by Gloo, which sleeps while it waits; NCCL would spin
    return found[0]


def main_first(function: Callable[[], _T]) -> _T:
    """Call `function` in the first process, which fills caches, then in the others, and return its result."""
    if Group.size == 1:
        return function()
    found = function() if is_main() else None
    from_main(lambda: None)
    return found if is_main() else function()


def gathered(value: _T) -> list[_T]:
    """The values of all processes, by rank."""
    if Group.size == 1:
        return [value]
    from torch import distributed

    values = [None] * Group.size
    distributed.all_gather_object(values, value)
    return values


def threads() -> int:
    """CPU threads of each process by default: an equal part of the cores.

    ``torchrun`` sets OMP_NUM_THREADS to 1 if it is not set; only other numbers are a choice of the user.
    """
    chosen = os.environ.get("OMP_NUM_THREADS", "1")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return int(chosen) if chosen.isdigit() and chosen != "1" else max(1, cores // Group.local_size)


def join() -> None:
    """Initialize the process group with the other processes that ``torchrun`` started."""
    import torch
    from torch import distributed

    store, Group.rank, Group.size = next(distributed.rendezvous("env://"))
    Group.store = store
    Group.local_rank, Group.local_size = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=store, rank=Group.rank, world_size=Group.size, timeout=_PATIENCE)


def together(command: Callable[[], int]) -> int:
    """Run a command in all processes that ``torchrun`` started; only the first one prints to stdout.

    When one process fails, all end; the first one to fail reports the reason.
    """
    join()
    with open(os.devnull, "w") as nowhere, nullcontext() if is_main() else redirect_stdout(nowhere):
        try:
            with ending_together():
                code = command()
        except Followed:
            return 1
    if code:
        _ended_by(RunError("it failed"))
    else:
        from torch import distributed

        distributed.destroy_process_group()
    return code


@contextmanager
def ending_together() -> Iterator[None]:
    """Replace the error by which a process notices the end of another one by the reason of that end.

    Raises:
        Followed: another process failed first.
        KeyboardInterrupt: another process was interrupted first.
    """
    try:
        yield
    except BaseException as error:
        if Group.size == 1 or isinstance(error, Followed):
            raise
        process, interrupted, reason = _ended_by(error)
        if process != Group.rank:
            raise (KeyboardInterrupt() if interrupted else Followed(f"process {process}: {reason}")) from error
        if _is_lost_connection(error):
            raise RunError(reason) from error
        raise


def leave(code: int) -> NoReturn:
    """End one of several processes without taking Python apart first, when one of Gloo's threads may still abort it.

    Such a thread lets go of a tensor, for which it needs Python. What is registered for the end of the process is done.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    atexit._run_exitfuncs()
    os._exit(code)


def _ended_by(error: BaseException) -> tuple[int, bool, str]:
    """The rank of the process that ended first, whether it was interrupted, and the reason; may be this process."""
    mine = json.dumps([Group.rank, isinstance(error, KeyboardInterrupt), _last_words(error)])
    try:
        return tuple(json.loads(Group.store.compare_set("end", "", mine)))
    except RuntimeError:  # the process that hosts the store is gone
        return tuple(json.loads(mine))


def _is_lost_connection(error: BaseException) -> bool:
    """Whether Gloo or NCCL raised an error because another process is gone."""
    return type(error).__name__.startswith("Dist") or (type(error) is RuntimeError and "onnection" in str(error))


def _last_words(error: BaseException) -> str:
    """The reason why a process ends with an error."""
    if _is_lost_connection(error):
        return "another process of this run was killed, or cannot be reached"
    return str(error) or repr(error)
