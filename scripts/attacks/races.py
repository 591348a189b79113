"""Races: two processes at one run or sweep: each piece of work is done once, and who comes late gets one message."""

import json
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from attacks.commands import BASE, effdl, hurried
from attacks.damaged_runs import unfinished
from attacks.outcome import CLEAN, LEFT, SILENT, UNNAMED, Case, Verdict, broken, last_line, typed
from attacks.runs import CHAIN, differences, make
from attacks.sandbox import Child, Note, Observed

_TIMES = 50
_ENDED = "ended"  # what a run notes down that came to its end
_RUN, _SWEEP = "hydra.run.dir=run", "hydra.sweep.dir=sweep"


def cases(random: Random, limit: int | None, fixtures: Path) -> list[Case]:
    """Each race so many times, with other delays between the two."""
    reference, cut_off = make(fixtures / "chain", *CHAIN), unfinished(fixtures / "unfinished")
    seeds = [make(fixtures / f"training-{seed}", *BASE, f"seed={seed}") for seed in (0, 1)]
    start, sweep = ("train", *CHAIN, _RUN), ("train", "-m", *BASE, "seed=0,1", _SWEEP)
    races: dict[str, tuple[tuple[str, ...], Callable[[Path], None], Callable]] = {
        "race: start, start": (start, _nothing, partial(judge_runs, reference)),
        "race: start, start with resume": ((*start, "resume=true"), _nothing, partial(judge_runs, reference)),
        "race: resume, resume": (("train", "resume=run"), partial(_copy, cut_off), partial(judge_runs, reference)),
        "race: sweep, sweep": (sweep, _nothing, partial(judge_sweeps, seeds)),
        "race: sweep, sweep with resume": ((*sweep, "resume=true"), _nothing, partial(judge_sweeps, seeds)),
    }
    found = []
    for name, (arguments, prepare, judge) in races.items():
        for number in range(limit or _TIMES):
            found.append(_case(name, arguments, prepare, judge, random.choice((0.0, random.uniform(0, 1.5))), number))
    return found


def _case(name, arguments, prepare, judge, delay_s: float, number: int) -> Case:
    """Two processes with the same command, the second so much later."""

    def attempt(place: Path) -> Verdict:
        prepare(place)
        first = Child(effdl(*arguments, prepare=slowly), place, cpu_s=60)
        time.sleep(delay_s)
        second = Child(effdl(*arguments, prepare=slowly), place, cpu_s=60)
        both = [first.wait(600), second.wait(600)]
        for seen in both:
            if verdict := broken(seen):
                return verdict
        return judge(place, both)

    return Case(name, f"{typed(*arguments)} & sleep {delay_s:.2f}; {typed(*arguments)} # attempt {number + 1}", attempt)


def judge_runs(reference: Path, place: Path, both: list[Observed]) -> Verdict:
    """One process made the run, the other said that it did not, and the run is as if there had been one."""
    ended = [seen for seen in both if [_ENDED, "done"] in seen.notes]
    if len(ended) != 1:
        return Verdict(SILENT, f"{len(ended)} of two processes made the run: {[last_line(seen.text) for seen in both]}")
    if ended[0].code:
        return Verdict(UNNAMED, f"who made the run failed: {last_line(ended[0].text)}")
    late = next(seen for seen in both if seen is not ended[0])
    if verdict := _late(late):
        return verdict
    wrong = differences(place / "run", reference)
    return Verdict(SILENT, "; ".join(wrong)) if wrong else _whole(place / "run")


def judge_sweeps(references: list[Path], place: Path, both: list[Observed]) -> Verdict:
    """Each run of the sweep was made once, by one of two processes."""
    folders = sorted(file.parent for file in (place / "sweep").glob("*/run.json"))
    if len(folders) != len(references):
        return Verdict(SILENT, f"{len(folders)} folders of {len(references)} jobs")
    made = sum(note == [_ENDED, "done"] for seen in both for note in seen.notes)
    if made != len(references):
        return Verdict(SILENT, f"{made} runs were made for {len(references)} jobs")
    for folder in folders:
        seed = json.loads((folder / "run.json").read_text())["config"]["seed"]
        if wrong := differences(folder, references[seed]):
            return Verdict(SILENT, f"{folder.name}: {'; '.join(wrong)}")
        if (verdict := _whole(folder)).kind != CLEAN:
            return verdict
    return Verdict(CLEAN, "")


def _late(seen: Observed) -> Verdict | None:
    """What is wrong with how the one who came late ended; None if nothing is."""
    complete = seen.code == 0 and "is complete" in seen.text
    if not complete and (seen.code not in (1, 2) or "run" not in seen.text):
        return Verdict(SILENT, f"who came late ended with {seen.code}: {last_line(seen.text)}")
    messages = [line for line in seen.text.splitlines() if "effdl: " in line]
    return None if complete or len(messages) == 1 else Verdict(UNNAMED, f"{len(messages)} messages: {seen.text[-300:]}")


def _whole(run: Path) -> Verdict:
    """Whether the model of a run loads, and nothing incomplete lies about."""
    from effdl.models.stored import load_model

    load_model(run)
    left = [path.name for path in run.iterdir() if path.name.endswith(".tmp")]
    return Verdict(LEFT, f"{left}") if left else Verdict(CLEAN, "")


def slowly(note: Note) -> None:
    """Let a run take its time, and note down how it ended."""
    from effdl.runs import execute

    hurried(note)
    real = execute.loggers_of
    execute.loggers_of = lambda config, folder: [*real(config, folder), _Slow(note)]


class _Slow:
    """A callback that keeps a run waiting."""

    def __init__(self, note: Note):
        self.note = note

    def training_begin(self, epochs: int, done: int) -> None:
        time.sleep(0.2)

    def epoch_end(self, row: dict) -> None:
        time.sleep(0.1)

    def stage_end(self, row: dict) -> None:
        time.sleep(0.1)

    def run_end(self, status: str) -> None:
        self.note([_ENDED, status])


def _nothing(place: Path) -> None:
    """There is nothing yet."""


def _copy(folder: Path, place: Path) -> None:
    shutil.copytree(folder, place / "run")
