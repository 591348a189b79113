"""Cases played by several processes at a time."""

import os
import pickle
import select
import traceback
from collections.abc import Iterator

from attacks.outcome import Case, Verdict
from attacks.sandbox import workplace


def play(cases: list[Case], lanes: int) -> Iterator[tuple[Case, Verdict]]:
    """The verdicts on all cases, as they come; each lane is a process and takes every so manieth case.

    Raises:
        RuntimeError: an attack itself is at fault.
    """
    pipes = {}
    for lane in range(min(lanes, len(cases))):
        reading, writing = os.pipe()
        if os.fork() == 0:
            _lane(cases[lane::lanes], writing)
        os.close(writing)
        pipes[reading] = (os.fdopen(reading, "rb"), iter(cases[lane::lanes]))
    try:
        while pipes:
            for ready in select.select(list(pipes), [], [])[0]:
                file, waiting = pipes[ready]
                try:
                    verdict = pickle.load(file)
                except EOFError:
                    if lost := next(waiting, None):
                        raise RuntimeError(f"the attack itself broke off: {lost.command}") from None
                    del pipes[ready]
                    file.close()
                    os.wait()
                else:
                    yield next(waiting), verdict
    finally:
        for file, _ in pipes.values():
            file.close()


def _lane(cases: list[Case], writing: int) -> None:
    """Play cases one after the other and report; never returns."""
    try:
        with os.fdopen(writing, "wb", buffering=0) as file:
            for case in cases:
                with workplace() as place:
                    file.write(pickle.dumps(case.attempt(place)))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
