"""Hostile files of weights: a `.pth` that would run code, claims more than it holds, or is damaged."""

import os
import pickle
import shlex
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from attacks.commands import BASE, effdl, hurried
from attacks.fixtures import tree
from attacks.outcome import CLEAN, LEFT, SILENT, UNNAMED, Case, Verdict, broken, last_line, typed
from attacks.sandbox import Observed, observe

_FILE, _MARK = "hostile.pth", "code was run"
_ROOM_BYTES = 512 << 20  # the files have at most a few MiB
_USE = ("train", *BASE, f"model.weights={_FILE}", "hydra.run.dir=run")
_FAKED = "effdl: all is well"  # what no line of an output may be
_NAMES = {
    "NUL": "we\0ight",
    "escapes": "\x1b[2J\x1b]0;title\x07w",
    "lines": f"a\n{_FAKED}\n\r\nc",
    "10 MB": "n" * 10_000_000,
}
_LONG = 10_000  # characters of an output


class _Call:
    """Unpickled by a careless reader, it calls a function."""

    def __init__(self, function: Callable, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _touch() -> _Call:
    return _Call(open, _MARK, "w")


def _state() -> dict:
    """An honest state dict of the model that is asked for."""
    from effdl.models.mlp import mlp

    return mlp(1, 8, 10, hidden=[8]).state_dict()


def _saved(file: Path, content: object, zipped: bool = True) -> None:
    import torch

    torch.save(content, file, _use_new_zipfile_serialization=zipped)


def _edited(file: Path, edit: Callable[[dict[str, bytes]], dict[str, bytes]], how: int = zipfile.ZIP_STORED) -> None:
    """An honest file with other parts, whose checksums are right."""
    _saved(file, _state())
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, data in edit(parts).items():
            archive.writestr(name, data)


def _pickle(parts: dict[str, bytes], data: bytes) -> dict[str, bytes]:
    return {name: data if name.endswith("data.pkl") else part for name, part in parts.items()}


def _cut(file: Path, part: float) -> None:
    _saved(file, _state())
    file.write_bytes(file.read_bytes()[: int(part * file.stat().st_size)])


def _huge(file: Path, *shape: int) -> None:
    """One number that stands for a tensor of this shape, by strides of 0."""
    import torch

    _saved(file, {name: torch.zeros(1).expand(shape) for name in _state()})


def _bomb(file: Path) -> None:
    """A tensor of 64 MiB of zeros in 64 KiB."""
    _edited(file, lambda parts: {**parts, next(name for name in parts if name.endswith("data/0")): bytes(64 << 20)}, 8)


def _nested(file: Path, depth: int) -> None:
    """A pickle of so many lists in each other."""
    _edited(file, lambda parts: _pickle(parts, b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."))


def _circle(file: Path) -> None:
    state: dict = {}
    state["state_dict"] = state
    _saved(file, state)


def _grown(parts: dict[str, bytes]) -> dict[str, bytes]:
    """Every small size and stride of the pickle becomes 2^60."""
    [data] = [part for name, part in parts.items() if name.endswith("data.pkl")]
    return _pickle(parts, data.replace(b"K\x08", b"\x8a\x08" + bytes(7) + b"\x10"))


HOSTILE: dict[str, Callable[[Path], None]] = {
    "code instead of a state dict": lambda file: _saved(file, _touch()),
    "code beside a state dict": lambda file: _saved(file, {"state_dict": _state(), "extra": [_touch()]}),
    "code, before PyTorch 1.6": lambda file: _saved(file, _touch(), zipped=False),
    "code by a system call": lambda file: _saved(file, _Call(os.system, f"touch '{_MARK}'")),
    "code by eval": lambda file: _saved(file, {"a": _Call(eval, f"open({_MARK!r}, 'w')")}),
    "code in a plain pickle": lambda file: file.write_bytes(pickle.dumps(_touch())),
    "code of a name with escapes": lambda file: _edited(
        file, lambda parts: _pickle(parts, b"\x80\x02c\x1b[2Jos\nsy\x00stem\nU\x04true\x85R.")
    ),
    **{
        f"one number for {' x '.join(f'2^{size.bit_length() - 1}' for size in shape)}": (
            lambda file, shape=shape: _huge(file, *shape)
        )
        for shape in ((1 << 40,), (1 << 15,) * 4)
    },
    "sizes of 2^60": lambda file: _edited(file, _grown),
    "a tensor of 64 MiB in 64 KiB": _bomb,
    **{f"{part:.0%} of a file": partial(_cut, part=part) for part in (0.0, 0.5, 0.99)},
    **{
        f"a layer of a name with {kind}": (
            lambda file, name=name: _saved(file, {**_state(), f"1.{name}": _state()["1.bias"]})
        )
        for kind, name in _NAMES.items()
    },
    **{f"only a name with {kind}": (lambda file, name=name: _saved(file, {name: 1})) for kind, name in _NAMES.items()},
    **{f"{depth:,} lists in each other": partial(_nested, depth=depth) for depth in (1_000, 100_000)},
    "a dict in itself": _circle,
    "no data of its tensors": lambda file: _edited(
        file, lambda parts: {name: part for name, part in parts.items() if "/data/" not in name}
    ),
    "a part outside of it": lambda file: _edited(file, lambda parts: {**parts, f"../{_MARK}": b"x"}),
}
# Beside a whole state dict anything may stand: it is left out, and its name said.
ACCEPTED: dict[str, Callable[[Path], None]] = {
    f"beside a state dict a name with {kind}": (
        lambda file, name=name: _saved(file, {**_state(), f"other.{name}": _state()["1.bias"]})
    )
    for kind, name in _NAMES.items()
}
_ALL = HOSTILE | ACCEPTED


def cases(random: Random, limit: int | None, fixtures: Path) -> list[Case]:
    """Every hostile file, or a sample."""
    chosen = random.sample(list(_ALL), min(len(_ALL), limit)) if limit else list(_ALL)
    return [_case(name) for name in chosen]


def _case(name: str) -> Case:
    def attempt(place: Path) -> Verdict:
        _ALL[name](place / _FILE)
        before = tree(place)
        seen = observe(effdl(*_USE, prepare=hurried), place)
        new = sorted(path for path, state in tree(place).items() if before.get(path) != state)
        return judge(seen, new, accepted=name in ACCEPTED)

    made = f"from attacks.hostile_weights import _ALL, Path; _ALL[{name!r}](Path({_FILE!r}))"
    before = f"PYTHONPATH=.:scripts python -c {shlex.quote(made)}"
    return Case("hostile weights", typed(*_USE, before=before), attempt)


def judge(seen: Observed, new: list[str], accepted: bool = False) -> Verdict:
    """The verdict on what became of a file.

    Args:
        new: paths that are there afterwards, or changed.
        accepted: whether the file is to be used; else it must be refused.
    """
    if any(_MARK in path for path in new):
        return Verdict(SILENT, "code of the file was run")
    if verdict := broken(seen, _ROOM_BYTES):
        return verdict
    if seen.code != (0 if accepted else 2):
        return Verdict(SILENT, f"exit code {seen.code}: {last_line(seen.text)}")
    lines = seen.text.removesuffix("\n").split("\n")
    safe = all(line.isprintable() and not line.startswith(_FAKED) for line in lines) and len(seen.text) < _LONG
    if not safe or _FILE not in seen.text or not (accepted or len(lines) == 1):
        return Verdict(UNNAMED, repr(seen.text)[:300])
    if new and not accepted:
        return Verdict(LEFT, ", ".join(new)[:300])
    return Verdict(CLEAN, next(line for line in lines if _FILE in line))
