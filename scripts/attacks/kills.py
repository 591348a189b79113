"""Kills before every file operation of a run: resumed, it must end as one that nothing disturbed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random

from attacks.commands import BASE, effdl, hurried
from attacks.operations import watch
from attacks.outcome import CLEAN, SILENT, UNNAMED, Case, Verdict, broken, last_line, typed
from attacks.runs import CHAIN, differences, make
from attacks.sandbox import Note, observe, workplace

RUNS = {"training": BASE, "chain": CHAIN}


def cases(random: Random, limit: int | None, fixtures: Path) -> list[Case]:
    """A case for every operation of each run, or for some of them."""
    found = []
    for name, arguments in RUNS.items():
        reference = make(fixtures / name, *arguments)
        operations = _operations(arguments)
        numbers = range(1, len(operations) + 1)
        if limit:
            numbers = sorted(random.sample(numbers, min(len(numbers), max(1, limit // len(RUNS)))))
        found += [_case(f"kills: {name}", arguments, number, operations[number - 1], reference) for number in numbers]
    return found


def _operations(arguments: tuple[str, ...]) -> list[str]:
    """The file operations of a run, in words."""
    with workplace() as place:
        seen = observe(effdl("train", *arguments, "hydra.run.dir=run", prepare=_noting(place / "run")), place)
    if seen.code:
        raise RuntimeError(f"{typed(*arguments)}: {seen.text}")
    return seen.notes


def _noting(folder: Path) -> Callable[[Note], None]:
    """A preparation that notes down every operation."""
    return lambda note: watched(folder, note)(note)


def _case(name: str, arguments: tuple[str, ...], number: int, operation: str, reference: Path) -> Case:
    """Kill before one operation, resume, compare."""
    command = ("train", *arguments, "hydra.run.dir=run")
    again = ("train", "resume=run") if number % 2 else (*command, "resume=true")  # the two ways take turns

    def attempt(place: Path) -> Verdict:
        run = place / "run"
        seen = observe(effdl(*command, prepare=watched(run, killing(number))), place)
        if seen.signal != signal.SIGKILL or seen.timed_out:
            raise RuntimeError(f"{name} could not be killed before operation {number}: {seen.text}")
        begun = (run / "run.json").exists() and (run / "run.json").stat().st_size
        used = again if begun else (*command, "resume=true")
        seen = observe(effdl(*used, prepare=hurried), place)
        if verdict := broken(seen):
            return Verdict(verdict.kind, f"{verdict.why} ({'resume=run' if 'resume=run' in used else 'resume=true'})")
        if seen.code:
            return Verdict(UNNAMED, f"cannot be resumed: {last_line(seen.text)}")
        wrong = differences(run, reference)
        return Verdict(SILENT, "; ".join(wrong)) if wrong else Verdict(CLEAN, "")

    return Case(name, f"{typed(*command)} # SIGKILL before operation {number}: {operation}; {typed(*again)}", attempt)


def killing(number: int) -> Callable[[str], None]:
    """What is told of every operation, and ends the process before the one of this number."""
    left = [number]

    def count(operation: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return count


def watched(folder: Path, told: Callable[[str], None]) -> Callable[[Note], None]:
    """A preparation for a command after which `told` hears of every operation below a folder, before it happens."""

    def prepare(note: Note) -> None:
        hurried(note)
        watch(folder, told)

    return prepare
