"""Every key and option of effdl, read from its schema, signatures and parsers, and the command in which it counts."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import get_type_hints

from attacks.commands import BASE, COMMON
from effdl.cli.main import COMMANDS
from effdl.config.identity import flatten
from effdl.config.instantiate import keywords, locate
from effdl.config.options import config_folder, content, option_files
from effdl.config.schema import GROUPS, HYDRA_KEYS, SHARED, SUPPLIED, DeviceSettings, Settings

_IMAGES = ("dataset=image_folder", "dataset.root=images", "dataset.subset=null")
_LEVELS = {  # the level that switches a step on
    "half": "fp16",
    "int8": "int8",
    "int8_aware": "int8",
    "lsq": "4",
    "kmeans": "4",
    "ternary": "ternary",
    "binary": "binary",
    "xnor": "binary",
    "nm": "2:4",
    "mutual": "peer",
    "born_again": "born_again",
}
_OF_STAGE = {"prune": "0.5", "factorize": "0.5", "quantize": "4", "distill": "self"}
_TRAINED_AGAIN = ("prune=0.5", "magnitude")  # a step behind the first training, which has itself as teacher then
_CONVOLUTIONS = ("model=resnet", "model.depth=8")
_PAIRS = {  # KEY=VALUE words of commands that have a parser of their own for them
    "export": ("format", "precision", "threads"),
    "sensitivity": ("prune", "quantize", "tolerance"),
}
_WORDS = {  # commands whose words are not all folders, by the word that is attacked
    ("push", "folder"): ("VALUE", "a/b"),
    ("push", "repo"): ("r", "VALUE"),
    ("export", "options"): ("r", "VALUE"),
    ("predict", "model"): ("VALUE", "images/a"),
    ("predict", "images"): ("r", "VALUE"),
    ("sensitivity", "options"): ("r", "VALUE"),
}


@dataclass(frozen=True)
class Key:
    """Something that takes a value.

    Attributes:
        name: as a message should name it.
        arguments: of the command, in which VALUE stands for the value.
        numeric: whether it takes numbers above 0 and nothing else, and no run shows what became of them.
        aliases: other names that a message may give it.
    """

    name: str
    arguments: tuple[str, ...]
    numeric: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command's name."""
        return self.arguments[0]


def train_keys() -> Iterator[Key]:
    """The keys of a run's config, its groups, and Hydra's own keys."""
    for name in get_type_hints(Settings):
        yield _override(name)
    for name in get_type_hints(DeviceSettings):
        yield _override(f"device.{name}")
    for name in keywords(locate("effdl.measure.energy.EnergyMeter")):
        yield _override(f"energy.{name}")
    for group in (*GROUPS, "teacher", "experiment", "hydra/launcher", "hydra/sweeper"):
        yield _override(group)
    for group, prefix, selection, node in _nodes():
        hints = keywords(locate(node["_target_"]), SUPPLIED.get(group, 0))
        shared = SHARED.get(group, {})
        hints |= keywords(locate(shared)) if isinstance(shared, str) else shared
        keys = dict.fromkeys(flatten({key: node[key] for key in node if key not in HYDRA_KEYS})) | hints
        for key in [*keys, *HYDRA_KEYS]:
            yield _override(f"{prefix}.{key}", *selection)
    yield from _hydra_keys()


def _override(name: str, *selection: str) -> Key:
    """A key of `train`."""
    first = COMMON if any(text.startswith("model=") for text in selection) else BASE
    return Key(name, ("train", *first, *selection, f"{name}=VALUE"))


def _nodes() -> Iterator[tuple[str, str, tuple[str, ...], dict]]:
    """What groups select: the group, where its keys are, the overrides that select it, and its file's content."""
    for group in ("dataset", "model", "optimizer", "scheduler", "augment", "compression", "logger"):
        for option, file in option_files(group, config_folder()).items():
            node = content(file)
            if "_target_" not in node or (group == "dataset" and option not in ("digits", "image_folder")):
                continue  # the other data sets have the same keys, and files that are not there
            yield group, *_selection(group, option, node), node
    yield "teacher", "teacher", ("+model@teacher=mlp", "distill=teacher"), content(config_folder() / "model/mlp.yaml")


def _selection(group: str, option: str, node: dict) -> tuple[str, tuple[str, ...]]:
    """Where the keys of an option are, and the overrides that make them count."""
    if group == "compression":
        stage = node["stage"]
        level = _LEVELS.get(option, _OF_STAGE[stage])
        more, step = (_TRAINED_AGAIN[:1], f",{_TRAINED_AGAIN[1]}") if level == "self" else ((), "")
        return f"{group}.{option}", (*_CONVOLUTIONS, f"compression=[{option}{step}]", f"{stage}={level}", *more)
    if group in ("augment", "logger"):
        return f"{group}.{option}", (f"{group}=[{option}]",)
    chosen = (f"{group}={option}",)
    if group == "dataset" and option == "image_folder":
        return group, _IMAGES
    return group, ((*_IMAGES, *chosen) if group == "model" and option != "mlp" else chosen)


def _hydra_keys() -> Iterator[Key]:
    """Hydra's own keys, as a run and as a sweep."""
    from omegaconf import OmegaConf

    from effdl.config.compose import composed

    tuned = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=1", "prune=interval(0.1,0.9)")
    several = {"hydra.sweep": ("seed=0,1",), "hydra.launcher": ("seed=0,1",), "hydra.sweeper": ("seed=0,1",)}
    for sweeper in ((), tuned):
        hydra = composed([*BASE, *(text for text in sweeper if "interval" not in text)], None).hydra
        for name in flatten(OmegaConf.to_container(hydra, resolve=False)):
            name = f"hydra.{name}"
            swept = next((more for part, more in several.items() if f"{name}.".startswith(f"{part}.")), ())
            if sweeper and not name.startswith("hydra.sweeper."):
                continue
            yield Key(name, ("train", *(("-m",) if swept else ()), *BASE, *(sweeper or swept), f"{name}=VALUE"))


def flags() -> Iterator[Key]:
    """The flags of `train`, which are Hydra's."""
    from hydra._internal.utils import get_args_parser

    for action in get_args_parser()._actions:
        for flag in action.option_strings:
            given = (f"{flag}=VALUE",) if flag.startswith("--") else (flag, "VALUE")
            yield Key(flag, ("train", *BASE, *given), aliases=tuple(action.option_strings))


def options() -> Iterator[Key]:
    """The options and words of the other commands, read from their parsers."""
    for command in COMMANDS:
        if command == "train":
            continue
        actions = [action for action in _parser(command)._actions if action.dest != "help"]
        for action in actions:
            if action.option_strings:
                flag = action.option_strings[-1]
                yield Key(flag, (command, *_first(command), f"{flag}=VALUE"), aliases=(action.dest,))
            else:
                yield Key(action.dest, (command, *_WORDS.get((command, action.dest), ("VALUE",))))
        for key in _PAIRS.get(command, ()):
            yield Key(key, (command, *_first(command), f"{key}=VALUE"), numeric=key not in ("format", "precision"))


def _first(command: str) -> tuple[str, ...]:
    """The words that a command needs."""
    others = {
        "list": (),
        "push": ("r", "a/b"),
        "reproduce": ("tiny", "--config-dir", "mine"),
        "predict": ("r", "images"),
    }
    return others.get(command, ("r",))


class _Found(Exception):
    """Carries the parser out of a command."""


def _parser(command: str) -> argparse.ArgumentParser:
    """The parser of a command, taken from it when it first parses."""

    def parse(self, *arguments):
        raise _Found(self)

    names = ("parse_args", "parse_intermixed_args")
    before = {name: getattr(argparse.ArgumentParser, name) for name in names}
    try:
        for name in names:
            setattr(argparse.ArgumentParser, name, parse)
        import_module(f"effdl.cli.{command}").main([])
    except _Found as found:
        return found.args[0]
    finally:
        for name, method in before.items():
            setattr(argparse.ArgumentParser, name, method)
    raise RuntimeError(f"{command} has no parser")
