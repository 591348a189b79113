"""What single runs and sweeps share: calling Hydra, and one energy meter per process."""

import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import hydra
from hydra.core.plugins import Plugins

from effdl.commands import config_folder
from effdl.measure.energy import EnergyMeter


@cache
def shared_meter(energy: str) -> EnergyMeter:
    """The meter of a config's JSON, one per process: it takes seconds to start, behind other work."""
    return EnergyMeter(**json.loads(energy))


def energy_meter(config: dict) -> EnergyMeter:
    """The process's meter for a run's config."""
    return shared_meter(json.dumps(config["energy"]))


def register(plugin: type) -> None:
    """Let Hydra use a class of this package as a plugin; by itself it looks for them in `hydra_plugins` only."""
    name, allowed = f"{plugin.__module__}.{plugin.__name__}", Plugins.is_in_toplevel_plugins_module
    if not allowed(name):
        Plugins.is_in_toplevel_plugins_module = staticmethod(lambda other: other == name or allowed(other))
    Plugins.instance().register(plugin)


def call_hydra(flags: list[str], overrides: list[str], job: Callable, configs: Path | None = None) -> int:
    """Let Hydra do its part: output folders, sweeps, ``--help``, ``--cfg``, ``--info``.

    Args:
        configs: the folder to compose from; None: the shipped configs.
    """
    sys.argv = ["effdl", *flags, *overrides]
    try:
        hydra.main(version_base="1.3", config_path=str(configs or config_folder()), config_name="train")(job)()
    except SystemExit as stop:  # after --help
        return int(stop.code or 0)
    return 0


def resume_path(overrides: list[str]) -> str | None:
    """FOLDER in ``resume=FOLDER``."""
    values = [override.partition("=")[2] for override in overrides if override.startswith("resume=")]
    return values[-1] if values and values[-1].lower() not in ("true", "false") else None


def quote(path: str | Path) -> str:
    """A path as a quoted string of Hydra's grammar."""
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"
