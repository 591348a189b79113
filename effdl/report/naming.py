"""What distinguishes runs: which keys of their configs differ, and a short name for each. Pure functions."""

import json
from collections import Counter

from effdl.config.identity import essential, flatten

LEADING = ("model", "dataset", "prune", "factorize", "quantize", "distill")  # what a name says first
LISTS = ("compression", "augment")  # groups whose members have names of their own
SILENT = ("_partial_", "_target_", "option")  # ends of keys that no name repeats


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
    """A config as names tell it.

    Options stand under their group's key (``model: resnet``), ``compression`` lists the steps that
    are on and ``augment`` the augmentations; what is off is left out.
    """
    steps = {name: node for name, node in (config.get("compression") or {}).items() if is_on(node)}
    chosen = {**config, "compression": steps}
    shown = {group: ",".join(chosen[group]) for group in LISTS if chosen.get(group)}
    for key, value in flatten({key: node for key, node in chosen.items() if node != {}}).items():
        group, _, last = key.rpartition(".")
        listed = group.partition(".")[0] in LISTS
        if last == "option" and not listed:
            shown[group] = value
        elif last not in SILENT and not (listed and last in ("level", "stage")):
            shown[key] = value
    return essential(shown)


def is_on(node: object) -> bool:
    """Whether a step of ``compression`` does anything."""
    return isinstance(node, dict) and node.get("level") is not None


def names(runs: list[dict[str, object]], without: tuple[str, ...] = ()) -> list[str]:
    """For the `settings` of each run, those that tell it from the others.

    `LEADING` ones are named wherever they differ, others as needed; where none is, the model and the data set are.

    Args:
        without: keys left out of the names.
    """
    shown = dict.fromkeys([*LEADING, *(key for run in runs for key in run if key != "seed"), "seed"])
    short = shortened(set(shown))
    told: list[dict[str, object]] = [{} for _ in runs]
    alike = [list(range(len(runs)))]  # runs that nothing said so far tells apart
    for key in [key for key in shown if key not in without]:
        values = [repr(run.get(key)) for run in runs]
        parts = [split(group, values) for group in alike]
        differs = key in LEADING and len(set(values)) > 1
        for part in parts:
            for i in (i for group in part for i in group if differs or len(part) > 1):
                told[i][key] = runs[i].get(key)
        alike = [group for part in parts for group in part]
    return [
        " ".join(f"{short[key]}={text(value)}" for key, value in said.items() if value is not None) or label(run)
        for run, said in zip(runs, told, strict=True)
    ]


def split(group: list[int], values: list[str]) -> list[list[int]]:
    """The members of a group, by their value."""
    parts: dict[str, list[int]] = {}
    for i in group:
        parts.setdefault(values[i], []).append(i)
    return list(parts.values())


def text(value: object) -> str:
    """A value as one types it; a folder by its last part."""
    if isinstance(value, str):
        return value.rstrip("/").rpartition("/")[2] or value
    return json.dumps(value)


def label(run: dict[str, object]) -> str:
    """The model and the data set."""
    return " on ".join(str(run[key]) for key in ("model", "dataset") if run.get(key)) or "run"


def shortened(keys: set[str]) -> dict[str, str]:
    """Each dotted key by the shortest end of it that no other key has."""
    ends = Counter(end for key in keys for end in endings(key))
    return {key: next((end for end in endings(key) if ends[end] == 1), key) for key in keys}


def endings(key: str) -> list[str]:
    """``a.b.c``: ``c``, ``b.c``, ``a.b.c``."""
    parts = key.split(".")
    return [".".join(parts[i:]) for i in reversed(range(len(parts)))]
