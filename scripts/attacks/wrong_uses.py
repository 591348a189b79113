"""Wrong uses: every key, flag and option with every hostile value, and those that were found by hand."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from random import Random

from attacks.commands import ACCEPTED, effdl, hurried, stopped
from attacks.fixtures import furnish, prepare, tree
from attacks.hostile import OVERRIDES, WORDS, is_absurd
from attacks.known import known_uses
from attacks.outcome import CLEAN, LEFT, SILENT, UNNAMED, Case, Verdict, broken, last_line, typed
from attacks.runs import CHAIN, make
from attacks.sandbox import Observed, observe, workplace
from attacks.uses import Key, flags, options, train_keys
from effdl.config.identity import flatten
from effdl.config.overrides import parse
from effdl.config.schema import LEVELS
from effdl.utils.errors import UserError
from effdl.utils.text import one_line

_PATHS = ("nowhere/at/all", "f/x", "f", "d", "/proc/nope/x", "n" * 300)  # naming the file is enough
_UNMISTAKABLE = 50  # characters of a value that a message may repeat instead of the key
_MISSING = object()


def cases(random: Random, limit: int | None, fixtures: Path) -> list[Case]:
    """All uses, or a sample of each kind."""
    root = fixtures / "around"
    root.mkdir()
    prepare(root, make(fixtures / "chain", *CHAIN))
    kinds = {
        "wrong values of keys": [(key, use) for key in train_keys() for use in _uses_of(key, OVERRIDES.values())],
        "wrong values of flags": [(key, use) for key in flags() for use in _uses_of(key, WORDS.values())],
        "wrong words of commands": [(key, use) for key in options() for use in _uses_of(key, WORDS.values())],
    }
    found = []
    for name, uses in kinds.items():
        chosen = random.sample(uses, min(len(uses), limit)) if limit else uses
        found += [_case(name, key, arguments, _names(key, arguments), root) for key, arguments in chosen]
    known = known_uses()
    chosen = random.sample(known, min(len(known), limit)) if limit else known
    return found + [
        _case("wrong uses found by hand", key, key.arguments, names, root, must) for key, names, must in chosen
    ]


def _uses_of(key: Key, values: Iterable[str]) -> list[tuple[str, ...]]:
    """The arguments of a key with every value; a key of `train` is also taken away, and has a key put below it."""
    uses = [tuple(word.replace("VALUE", value) for word in key.arguments) for value in values]
    if _is_key(key):
        uses += [(*key.arguments[:-1], f"~{key.name}"), (*key.arguments[:-1], f"+{key.name}.zzz=1")]
    return uses


def _names(key: Key, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """What a message about a use may call it."""
    last = re.split(r"[./]", key.name)[-1] if not key.name.startswith("-") else key.name
    word = next((a for a, b in zip(arguments, key.arguments, strict=True) if a != b), "")
    value = word.partition("=")[2] or word
    levels = [level for level in LEVELS if key.name.endswith(".level") and f"{level}=" in " ".join(arguments)]
    if _is_key(key):
        values = [value] if value in _PATHS or len(value) > _UNMISTAKABLE else []
    else:
        values = [part or "''" for part in (word, value, *value.split(","), word.partition("=")[0])]
    return (key.name, last, *key.aliases, *levels, *values, *(["zzz"] if arguments[-1].startswith("+") else []))


def _case(
    attack: str, key: Key, arguments: tuple[str, ...], names: tuple[str, ...], root: Path, must: bool = False
) -> Case:
    """One use; if it may be accepted, its run is stopped as it begins."""

    def attempt(place: Path) -> Verdict:
        furnish(place, root, arguments)
        before = tree(place)
        seen = observe(effdl(*arguments, prepare=hurried if must else stopped), place)
        new = sorted(path for path, state in tree(place).items() if before.get(path) != state)
        base = _base_config(key.arguments[:-1], root) if _is_override(key, seen) else None
        return judge(key, arguments, names, seen, new, base, must)

    return Case(attack, typed(*arguments), attempt)


def _is_key(key: Key) -> bool:
    """Whether it is a key of a config, not a flag, an option or a word."""
    return key.command == "train" and key.arguments[-1] == f"{key.name}=VALUE" and not key.name.startswith("-")


def _is_override(key: Key, seen: Observed) -> bool:
    """Whether it is an accepted override of a run's own key, whose value the run's config must show."""
    return bool(seen.notes) and _is_key(key) and not key.name.startswith("hydra")


@cache
def _base_config(arguments: tuple[str, ...], root: Path) -> dict:
    """The config of a command without the key under attack.

    Raises:
        RuntimeError: it is not accepted, so that nothing would be learnt of its keys.
    """
    with workplace() as place:
        furnish(place, root, arguments)
        seen = observe(effdl(*arguments, prepare=stopped), place)
    if not seen.notes:
        raise RuntimeError(f"{typed(*arguments)}: {seen.text}")
    return flatten(seen.notes[-1][1])


def judge(
    key: Key,
    arguments: tuple[str, ...],
    names: tuple[str, ...],
    seen: Observed,
    new: list[str],
    base: dict | None = None,
    must: bool = False,
) -> Verdict:
    """The verdict on a use.

    Args:
        names: of which a refusal must have one.
        new: files that were not there before, or have changed.
        base: the flattened config of the same command without the key, if the config shows what became of the value.
        must: it has to be refused.
    """
    if verdict := broken(seen):
        return verdict
    accepted = [note[1] for note in seen.notes if note[0] == ACCEPTED]
    if accepted or seen.code == 0:
        if must:
            return Verdict(SILENT, f"accepted, though it cannot be meant: {last_line(seen.text)}")
        if dishonest := _dishonest(key, arguments, flatten(accepted[-1]) if accepted else None, base):
            return Verdict(SILENT, dishonest)
        return Verdict(CLEAN, "accepted")
    message = seen.error + "\n".join(line for line in seen.output.splitlines() if re.search("effdl: |failed", line))
    if not any(_mentions(message, name) for name in names):
        return Verdict(UNNAMED, f"exit code {seen.code}: {last_line(seen.text)}")
    if left := [path for path in new if seen.code == 2 or not _is_of_a_run(path, new)]:
        return Verdict(LEFT, f"{', '.join(left[:3])} after: {last_line(message)}")
    return Verdict(CLEAN, last_line(message))


def _dishonest(key: Key, arguments: tuple[str, ...], config: dict | None, base: dict | None) -> str | None:
    """Why a success is none, where that can be decided."""
    typed_value = _typed_value(arguments[-1])
    if key.command == "train" and config is None and not key.name.startswith(("-", "hydra")):
        return "success without a run"
    if key.numeric and (is_absurd(typed_value) or (isinstance(typed_value, float | int) and typed_value < 0)):
        return f"accepted, though {key.name} cannot be {typed_value}"
    if base is None or config is None or key.name not in config:
        return None
    used = config[key.name]
    real = isinstance(base.get(key.name), float) and isinstance(used, int)  # finite, and as good as 1e30
    if is_absurd(used) and not real:
        return f"accepted, though nothing can be computed with {str(used)[:50]}"
    if used == "":
        return "accepted, though an empty text names nothing"
    if isinstance(typed_value, int | float | str | list) and config == base and typed_value != base[key.name]:
        return f"accepted, but the config is that without it: {used}"
    return None


def _typed_value(argument: str) -> object:
    """The value that Hydra's grammar sees in the last argument."""
    try:
        override = parse([argument])[0]
        return _MISSING if override.is_sweep_override() or override.is_delete() else override.value()
    except (UserError, IndexError):
        return _MISSING


def _mentions(message: str, name: str) -> bool:
    shown = (name, one_line(name), repr(name)[1:-1])  # control characters are made visible
    return any(re.search(rf"(?<!\w){re.escape(text)}(?!\w)", message) for text in shown)


def _is_of_a_run(path: str, new: list[str]) -> bool:
    """Whether a file is in the folder of a run that began, and says itself how it ended."""
    folders = {str(Path(file).parent) for file in new if file.endswith("/run.json")}
    return any(path == folder or path.startswith(f"{folder}/") or folder.startswith(f"{path}/") for folder in folders)
