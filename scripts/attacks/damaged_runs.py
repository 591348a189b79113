"""Every command on damaged run folders: it names the damage, or ends exactly as it does without one."""

import os
import re
import shutil
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

from attacks.commands import effdl, hurried
from attacks.damages import UNREADABLE, Damage, damages
from attacks.kills import watched
from attacks.outcome import CLEAN, SILENT, UNNAMED, Case, Verdict, broken, last_line, typed
from attacks.runs import CHAIN, ROWS, differences, make
from attacks.sandbox import Observed, observe, workplace

_RESUME = ("train", "resume=run")
_COMMANDS = {  # by the run that they are tried on
    "done": (
        ("evaluate", "run", "--layers"),
        ("report", "run", "--stages", "all", "--scores", "--format", "json", "--html", "run/page.html"),
        ("card", "run"),
        ("export", "run", "format=torch_export"),
        ("sensitivity", "run", "prune=0.5", "quantize=4"),
        _RESUME,
    ),
    "unfinished": (("evaluate", "run"), ("report", "run", "--all", "--stages", "all", "--format", "json"), _RESUME),
}
_SAYS = re.compile(  # what is wrong with a folder, without the name of a file
    "damaged|differs|another run|another config|other data|not a run folder|no run folder|no runs there|no model is"
    " stored|not complete|was .* when the run measured it|cannot be read|is missing"
)


@dataclass(frozen=True)
class Outcome:
    """What a command told and left: its exit code, its lines, and the content of the files that it wrote."""

    code: int | None
    lines: tuple[str, ...]
    written: dict[str, bytes]


def cases(random: Random, limit: int | None, fixtures: Path) -> list[Case]:
    """Every damage with every command, or a sample for each command."""
    done, other = make(fixtures / "chain", *CHAIN), make(fixtures / "chain-1", *CHAIN, "seed=1")
    folders = {"done": done, "unfinished": unfinished(fixtures / "unfinished")}
    found = []
    for state, commands in _COMMANDS.items():
        everything = list(damages(folders[state], other, random))
        for command in commands:
            attack = _Attack(command, state, folders[state], done)
            some = [
                damage
                for damage in everything
                if state == "done" or command == _RESUME or not _as_a_kill_leaves(*damage)
            ]
            chosen = random.sample(some, min(limit, len(some))) if limit else some
            found += [attack.case(*damage) for damage in chosen]
    return found


def _as_a_kill_leaves(file: str, words: str, damage: Damage) -> bool:
    """Whether the rows of a run that goes on end earlier, which is no damage for who only looks at them."""
    last = re.fullmatch(r"without row (\d+) of (\d+)", words)
    return file.endswith(".jsonl") and (words.startswith("cut to") or bool(last and last[1] == last[2]))


def unfinished(folder: Path) -> Path:
    """The run of `CHAIN`, killed in its second training, before the row of its second epoch there."""
    if folder.exists():
        return folder
    seen: Counter[str] = Counter()

    def told(operation: str) -> None:
        seen[operation] += 1
        if seen["write epochs.jsonl"] == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    with workplace() as place:
        ended = observe(effdl("train", *CHAIN, f"hydra.run.dir={folder}", prepare=watched(folder, told)), place)
    if ended.signal != signal.SIGKILL:
        raise RuntimeError(f"the run was not killed: {ended.text}")
    return folder


class _Attack:
    """One command on damaged copies of one folder."""

    def __init__(self, command: tuple[str, ...], state: str, folder: Path, done: Path):
        self.command, self.state, self.folder, self.done = command, state, folder, done
        self.name = f"damages: {command[0]}, {state} run"
        self.reference, again = self._undamaged(), self._undamaged()
        if command != _RESUME and self.reference != again:
            names = [name for name, data in again.written.items() if self.reference.written.get(name) != data]
            raise RuntimeError(
                f"{typed(*command)} is not the same twice: {names} {set(again.lines) - set(self.reference.lines)}"
            )

    def _undamaged(self) -> Outcome:
        with workplace() as place:
            shutil.copytree(self.folder, place / "run")
            before = _contents(place / "run")
            return _outcome(observe(effdl(*self.command, prepare=hurried), place), before, place)

    def case(self, file: str, words: str, damage: Damage) -> Case:
        """The command with one damage."""

        def attempt(place: Path) -> Verdict:
            run = place / "run"
            shutil.copytree(self.folder, run)
            damage(run)
            before = _contents(run)
            seen = observe(effdl(*self.command, prepare=hurried), place, powerless=words == UNREADABLE)
            if self.command != _RESUME:
                return judge(file, seen, _outcome(seen, before, place), self.reference)
            return judge_resumed(file, seen, self.wrong(run) if seen.code == 0 else [])

        return Case(self.name, f"# {file}: {words}\n{typed(*self.command)}", attempt)

    def wrong(self, run: Path) -> list[str]:
        """What is wrong with a run that was resumed."""
        found = differences(run, self.done)
        if self.state == "done":  # nothing was done: what its being complete promises
            return [text for text in found if text.startswith(("model", "result"))]
        kept = {name: set(_lines(self.folder / name)) for name in ROWS}
        return found + [
            f"{name} has lost or changed rows" for name, rows in kept.items() if not self._has(run, name, rows)
        ]

    def _has(self, run: Path, name: str, rows: set[bytes]) -> bool:
        """Whether the rows of what was done before the kill are still there; the trainings that go on write theirs."""
        finished = {row for row in rows if b'"dense"' in row}
        return finished <= set(_lines(run / name))


def judge(file: str, seen: Observed, outcome: Outcome, reference: Outcome) -> Verdict:
    """The verdict on a command that reads a damaged folder."""
    if verdict := broken(seen):
        return verdict
    if outcome == reference:
        return Verdict(CLEAN, "harmless")
    new = [line for line in outcome.lines if line not in reference.lines]
    if _names(file, new, seen):
        return Verdict(CLEAN, "named")
    if seen.code:
        return Verdict(UNNAMED, f"exit code {seen.code}: {last_line(seen.text)}")
    written = [
        name for name in reference.written | outcome.written if reference.written.get(name) != outcome.written.get(name)
    ]
    return Verdict(SILENT, f"other lines: {[line.strip()[:150] for line in new[:2]]}, other files: {written}")


def judge_resumed(file: str, seen: Observed, wrong: list[str]) -> Verdict:
    """The verdict on a run that was resumed from a damaged folder.

    Args:
        wrong: in what it differs from a run that nothing disturbed.
    """
    if verdict := broken(seen):
        return verdict
    if seen.code == 0 and not wrong:
        return Verdict(CLEAN, "harmless")
    if _names(file, seen.text.splitlines(), seen):
        return Verdict(CLEAN, "named")
    return Verdict(UNNAMED, last_line(seen.text)) if seen.code else Verdict(SILENT, "; ".join(wrong))


def _names(file: str, new: list[str], seen: Observed) -> bool:
    """Whether a message among new lines names a damaged file, or says what is wrong."""
    messages = [
        line for line in new if line in seen.error.splitlines() or re.search("effdl: |warning|measured it", line)
    ]
    return any(Path(file).name in line or _SAYS.search(line) for line in messages)


def _outcome(seen: Observed, before: dict[str, bytes], place: Path) -> Outcome:
    after = _contents(place / "run")
    return Outcome(
        seen.code,
        tuple(line.rstrip() for line in seen.text.splitlines()),
        {name: data for name, data in after.items() if before.get(name) != data},
    )


def _contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder that can be read."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def _lines(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines() if file.is_file() else []
