"""What single runs and sweeps share: calling Hydra, and one energy meter per process."""

import json
import sys
from functools import cache
from pathlib import Path

import hydra

from effdl.commands import config_folder
from effdl.measure.energy import EnergyMeter


@cache
def shared_meter(energy: str) -> EnergyMeter:
    """The meter of a config's JSON, one per process: it takes seconds to start, behind other work."""
    return EnergyMeter(**json.loads(energy))


def energy_meter(config: dict) -> EnergyMeter:
    """The process's meter for a run's config."""
    return shared_meter(json.dumps(config["energy"]))


def call_hydra(flags: list[str], overrides: list[str], job) -> int:
    """Let Hydra do its part: output folders, sweeps, ``--help``, ``--cfg``, ``--info``."""
    sys.argv = ["effdl", *flags, *overrides]
    try:
        hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="train")(job)()
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
