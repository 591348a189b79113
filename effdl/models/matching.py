"""Which tensor of a file is which of a model: names without prefixes, and those of other libraries."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from torch import Tensor

from effdl.models.renaming import renamings
from effdl.models.storage.index import Entry, dtype_name

# What wrappers and trainers put before the names of a model's tensors.
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder_q.", "encoder.", "network.", "net.")


@dataclass(frozen=True)
class Matching:
    """One reading of a file's names.

    Args:
        names: for each tensor of the file that is taken, its name in the model.
        left_out: the file's other tensors, which the model has no use for.
        problems: reasons, by name, why the tensors that are taken do not fill the model.
        notes: how the names were read.
        library: whose names they are; None: the model's.
    """

    names: dict[str, str]
    left_out: list[str]
    problems: dict[str, str]
    notes: list[str]
    library: str | None = None


def exact(wanted: Mapping[str, Tensor], found: Mapping[str, Entry | Tensor]) -> Matching:
    """The reading of a file whose names are the model's."""
    names = {name: name for name in found}
    return Matching(names, [], _mismatches(wanted, found, names), [])


def best(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], head: str) -> Matching:
    """The first reading by which a file of another origin fits a model, or that with the fewest problems.

    What the file has besides a network is left out, as the projector of a pretraining: names that do not begin as any
    of the model's below its last layer.

    Args:
        wanted, found: tensors of the model and of the file.
        head: the model's last layer, which may be missing or of another shape.
    """
    readings = list(_readings(wanted, found, head))
    problems = [sum(not is_of(name, head) for name in reading.problems) for reading in readings]
    return readings[problems.index(min(problems))]


def is_of(name: str, layer: str) -> bool:
    """Whether a tensor is a parameter of a layer."""
    return name.rpartition(".")[0] == layer


def _readings(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], head: str) -> Iterator[Matching]:
    roots = {_root(name) for name in wanted if not is_of(name, head)}
    for short, notes in _without_prefixes(found):
        own = {name: name for name in short.values() if _root(name) in roots or name in wanted}
        for renamed, title in chain([(own, None)], renamings(short.values(), wanted)):
            names = {full: renamed[name] for full, name in short.items() if name in renamed}
            left_out = [full for full in found if full not in names]
            by = [*notes, *([f"names of {title}"] if title else [])]
            yield Matching(names, left_out, _mismatches(wanted, found, names), by, title)


def _without_prefixes(found: Iterable[str]) -> Iterator[tuple[dict[str, str], list[str]]]:
    """The names of a file without a prefix that all have, then of those alone that have one; and what was done."""
    whole, done = _stripped({name: name for name in found})
    yield whole, done
    for prefix in PREFIXES:
        part = {full: name for full, name in whole.items() if name.startswith(prefix)}
        if 0 < len(part) < len(whole):
            short, more = _stripped(part)
            yield short, [*done, *more]


def _stripped(names: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    done = []
    while prefix := next((one for one in PREFIXES if all(name.startswith(one) for name in names.values())), None):
        names = {full: name.removeprefix(prefix) for full, name in names.items()}
        done.append(f"without the prefix {prefix}")
    return names, done


def _root(name: str) -> str:
    """The first part of a name; the numbers of a Sequential are one."""
    return re.sub(r"^\d+$", "#", name.partition(".")[0])


def _mismatches(
    wanted: Mapping[str, Tensor], found: Mapping[str, Entry | Tensor], names: Mapping[str, str]
) -> dict[str, str]:
    """Reasons, by name in the model, why tensors of a file cannot be loaded into those of a model."""
    given = {name: found[full] for full, name in names.items()}
    problems = {}
    for key, tensor in wanted.items():
        if key not in given:
            if not key.endswith("num_batches_tracked"):  # a counter that inference does not read; files may omit it
                problems[key] = f"{key} is missing"
        elif tuple(given[key].shape) != tuple(tensor.shape):
            problems[key] = f"{key} is {tuple(given[key].shape)} there, {tuple(tensor.shape)} here"
        elif tensor.is_floating_point() and not given[key].dtype.is_floating_point:
            problems[key] = f"{key} is of {dtype_name(given[key].dtype)} there, {dtype_name(tensor.dtype)} here"
    return problems | {name: f"{full} is not in the model" for full, name in names.items() if name not in wanted}
