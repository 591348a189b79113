"""What distinguishes runs: which keys of their configs differ, and a short name for each. Pure functions."""

from collections import Counter
from collections.abc import Iterable

from effdl.config.identity import essential, flatten
from effdl.measure.units import typed

_LEADING = ("model", "dataset", "prune", "factorize", "quantize", "distill")  # what a name says first
LISTS = ("compression", "augment")  # groups whose members have names of their own
# Keys that draw another sample of the same experiment: they are no hyperparameters, and runs that differ only in them
# are averaged. Those of the data set draw other validation images, on which accuracies cannot be compared one by one
SPLITTING = ("dataset.split_seed", "dataset.fold")
SAMPLING = ("seed", *SPLITTING)
_SILENT = ("_partial_", "_target_")  # ends of keys that no name repeats


def differing_keys(configs: list[dict[str, object]]) -> list[str]:
    """Keys that do not have one and the same value wherever they are, and options that only some configs have."""
    values: dict[str, set[str]] = {}
    count: Counter[str] = Counter()
    for config in configs:
        for key, value in config.items():
            values.setdefault(key, set()).add(repr(value))
        count.update(config.keys())
    partly = {key for key in values if key.endswith("option") and count[key] < len(configs)}
    return [key for key in values if len(values[key]) > 1 or key in partly]


def settings(config: dict) -> dict[str, object]:
    """A nested config as names tell it, see `flat_settings`; steps that are off are left out."""
    steps = {name: node for name, node in (config.get("compression") or {}).items() if _is_on(node)}
    chosen = {**config, "compression": steps}
    return essential(flat_settings(flatten({key: node for key, node in chosen.items() if node != {}})))


def flat_settings(config: dict[str, object]) -> dict[str, object]:
    """A config of dotted keys as names tell it.

    Options stand under their group's key (``model: resnet``); ``compression`` lists the names of the steps, and
    ``augment`` those of the augmentations. Levels and stages of steps are left out: they repeat other keys.
    """
    lists: dict[str, list[str]] = {group: [] for group in LISTS}
    shown = {}
    for key, value in config.items():
        group, _, last = key.rpartition(".")
        root, _, name = group.partition(".")
        if last == "option" and root in LISTS:
            lists[root].append(name)
        elif last == "option":
            shown[group] = value
        elif last not in _SILENT and not (root in LISTS and last in ("level", "stage")):
            shown[key] = value
    return {group: ",".join(members) for group, members in lists.items() if members} | shown


def sample_of(config: dict[str, object]) -> tuple:
    """Which sample of its experiment a run is, by its config of dotted keys."""
    return tuple(config.get(key) for key in SAMPLING)


def experiment_of(config: dict[str, object]) -> frozenset:
    """What the samples of one experiment have in common: their config of dotted keys but for `SAMPLING`."""
    return frozenset((key, repr(value)) for key, value in config.items() if key not in SAMPLING)


def _is_on(node: object) -> bool:
    """Whether a step of ``compression`` does anything."""
    return isinstance(node, dict) and node.get("level") is not None


def names(runs: list[dict[str, object]], without: tuple[str, ...] = (), swept: Iterable[str] = ()) -> list[str]:
    """A name for the `settings` of each run: what tells it from the others, else its model and data set.

    `_LEADING` and swept settings are named wherever they differ, so that the names of a table are alike; others as
    needed.

    Args:
        without: keys left out of the names.
        swept: keys that somebody varied on purpose.
    """
    told = distinctions(runs, without, always=(*_LEADING, *swept))
    return [name or _label(run) for run, name in zip(runs, told, strict=True)]


def common(runs: list[dict[str, object]]) -> str:
    """The model and the data set, as far as all runs have the same, such as ``dataset=digits``; may be empty."""
    first = {key: runs[0].get(key) for key in ("model", "dataset")}
    return " ".join(
        f"{key}={typed(value)}" for key, value in first.items() if value and all(run.get(key) == value for run in runs)
    )


def distinctions(
    runs: list[dict[str, object]], without: tuple[str, ...] = (), always: tuple[str, ...] = ()
) -> list[str]:
    """For the `settings` of each run those that tell it from the others, such as ``prune=0.5 lr=0.1``; may be empty.

    Settings are told in the order of `_LEADING`, then that of the configs, then those of `SAMPLING`, each only of the
    runs that nothing told so far tells apart.

    Args:
        without: keys that are not told.
        always: keys that are told wherever they differ.
    """
    shown = dict.fromkeys([*_LEADING, *(key for run in runs for key in run if key not in SAMPLING), *SAMPLING])
    short = shortened(set(shown))
    told: list[dict[str, object]] = [{} for _ in runs]
    alike = [list(range(len(runs)))]  # runs that nothing told so far tells apart
    for key in [key for key in shown if key not in without]:
        values = [repr(run.get(key)) for run in runs]
        parts = [_split(group, values) for group in alike]
        differs = key in always and len(set(values)) > 1
        for part in parts:
            for i in (i for group in part for i in group if differs or len(part) > 1):
                told[i][key] = runs[i].get(key)
        alike = [group for part in parts for group in part]
    return [
        " ".join(f"{short[key]}={typed(value)}" for key, value in said.items() if value is not None) for said in told
    ]


def _split(group: list[int], values: list[str]) -> list[list[int]]:
    """The members of a group, by their value."""
    parts: dict[str, list[int]] = {}
    for i in group:
        parts.setdefault(values[i], []).append(i)
    return list(parts.values())


def _label(run: dict[str, object]) -> str:
    """The model and the data set."""
    return " on ".join(str(run[key]) for key in ("model", "dataset") if run.get(key)) or "run"


def shortened(keys: set[str]) -> dict[str, str]:
    """Each dotted key by the shortest end of it that no other key has."""
    ends = Counter(end for key in keys for end in _endings(key))
    return {key: next((end for end in _endings(key) if ends[end] == 1), key) for key in keys}


def _endings(key: str) -> list[str]:
    """``a.b.c``: ``c``, ``b.c``, ``a.b.c``."""
    parts = key.split(".")
    return [".".join(parts[i:]) for i in reversed(range(len(parts)))]
