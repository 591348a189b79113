"""Energy and carbon footprint of the phases of a run, by codecarbon (https://codecarbon.io) without any network.

Estimated CPU power is TDP x this process's (and its children's) share of the machine's CPU time: codecarbon's
"process" mode, where parallel jobs are not charged twice and, being linear, short phases add up. RAM is a model, at
least 10 W on x86 for a process however little it uses. Energy counters (RAPL, NVML) see the whole processor and all
visible GPUs: set CUDA_VISIBLE_DEVICES on a shared machine.
"""

import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from importlib.metadata import version
from time import perf_counter
from typing import Annotated, Literal

from pydantic import Field

from effdl.measure.carbon_intensity import carbon_intensity
from effdl.utils.distributed import Group, world_size

_Pue = Annotated[float, Field(ge=1, allow_inf_nan=False)]
_Source = Literal["measured", "estimated", "unavailable"]

log = logging.getLogger(__name__)
_START_LIMIT_S = 60  # codecarbon needs about 2 s; a machine where it hangs gets no energy figures, but runs


@dataclass
class Energy:
    """Energy and emissions of a phase. `energy_kwh` is that of the hardware (available ones of cpu, gpu, ram), measured
    or estimated, without PUE; ``co2eq_g = energy_kwh x pue x grid_g_per_kwh``. None is unknown, never 0.

    Phases add up (also with ``sum``); a sum with an unknown part is unknown.
    """

    duration_s: float | None = None
    energy_kwh: float | None = None
    cpu_kwh: float | None = None
    gpu_kwh: float | None = None
    ram_kwh: float | None = None
    co2eq_g: float | None = None

    def __add__(self, other: "Energy") -> "Energy":
        pairs = [(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)]
        return Energy(*(None if a is None or b is None else a + b for a, b in pairs))

    def __radd__(self, start: Literal[0]) -> "Energy":
        return self if start == 0 else NotImplemented  # sum() starts from 0


class EnergyMeter:
    """Measures phases: ``with meter.phase() as used: ...`` fills `used`, an `Energy`, at the end of the block.

    `country` (ISO 3166 alpha-3; None: world average) gives the carbon intensity of electricity, `pue` the computing
    centre's total energy per energy of the hardware (power usage effectiveness). A meter that is not enabled, or
    whose tracker fails, fills in durations only. Raises UserError for an unknown country.
    """

    def __init__(self, *, enabled: bool, country: str | None, pue: _Pue) -> None:
        self.country, self.pue = country, pue
        self.grid_g_per_kwh, self.grid_source = carbon_intensity(country)
        self._tracker = None
        self._in_phase = threading.Lock()
        # Detecting the hardware takes codecarbon 2 s, mostly waiting for a child process: do it in a thread.
        self._starting = threading.Thread(target=self._attempt, args=(self._start,), daemon=True) if enabled else None
        if self._starting:
            self._starting.start()

    @contextmanager
    def phase(self) -> Iterator[Energy]:
        """Measure the block; a phase must not overlap another one (RuntimeError).

        Costs about 5 ms, outside `duration_s`: codecarbon looks for child processes three times, no sleep.
        """
        if not self._in_phase.acquire(blocking=False):
            raise RuntimeError("a phase of this energy meter is already open: phases do not nest")
        used = Energy()
        try:
            self._attempt(self._open)
            start = perf_counter()
            try:
                yield used
            finally:
                used.duration_s = perf_counter() - start
                self._attempt(self._close, used)
        finally:
            self._in_phase.release()

    def sources(self) -> dict[str, _Source]:
        """Whether the energy of ``cpu``, ``gpu`` and ``ram`` is measured, estimated or unavailable."""
        found: dict[str, _Source] = {"cpu": "unavailable", "gpu": "unavailable", "ram": "unavailable"}
        for part in self._hardware():
            found[_component(part)] = _source(part)
        return found

    def describe(self) -> dict:
        """The basis of the figures; ``cpu_power_w`` is the CPU power (TDP) that an estimate assumes, else None."""
        cpu = next((part for part in self._hardware() if _component(part) == "cpu"), None)
        return {
            "cpu_model": getattr(cpu, "_model", None),
            "cpu_power_w": getattr(cpu, "_tdp", None) if self.sources()["cpu"] == "estimated" else None,
            "tracker": f"codecarbon {version('codecarbon')}" if self._tracker else None,
            "country": self.country,
            "grid_g_per_kwh": self.grid_g_per_kwh,
            "grid_source": self.grid_source,
            "pue": self.pue,
        }

    def _attempt(self, action, *args) -> None:
        """Call action(*args); an error in codecarbon ends the measurement, not the run."""
        try:
            action(*args)
        except Exception as error:
            self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, reason: str) -> None:
        self._tracker = None
        log.warning("energy is not measured: %s", reason)

    def _start(self) -> None:
        self._tracker = start_tracker()

    def _ready(self):
        """Wait for the tracker to start and return it; None if it did not."""
        if self._starting:
            self._starting.join(_START_LIMIT_S)
            if self._starting.is_alive():
                self._give_up(f"codecarbon did not start within {_START_LIMIT_S} s")
            self._starting = None
        return self._tracker

    def _hardware(self) -> list:
        tracker = self._ready()
        return tracker._hardware if tracker else []

    def _open(self) -> None:
        tracker = self._ready()
        if tracker:
            tracker.start_task()

    def _close(self, used: Energy) -> None:
        if not self._tracker:
            return
        data = self._tracker.stop_task()
        kwh = {"cpu": data.cpu_energy, "gpu": data.gpu_energy, "ram": data.ram_energy}
        known = {part: kwh[part] for part, how in self.sources().items() if how != "unavailable"}
        if "cpu" in known and self.sources()["cpu"] == "measured" and Group.local_rank:
            known["cpu"] = 0.0  # a counter sees all processes of the machine: the first of them reports it
        used.cpu_kwh, used.gpu_kwh, used.ram_kwh = (known.get(part) for part in ("cpu", "gpu", "ram"))
        if known:
            used.energy_kwh = sum(known.values())
        if known and self.grid_g_per_kwh is not None:
            used.co2eq_g = used.energy_kwh * self.pue * self.grid_g_per_kwh


@cache
def _shared_meter(energy: str) -> EnergyMeter:
    return EnergyMeter(**json.loads(energy))


def energy_meter(config: dict) -> EnergyMeter:
    """The meter for a run's config; one per process, because it takes seconds to start."""
    return _shared_meter(json.dumps(config["energy"]))


def start_tracker():
    """A codecarbon tracker that opens no connection and writes no file, with its hardware detected.

    Every key that could open a connection or a file is given, since codecarbon reads the others from
    CODECARBON_* variables and ~/.codecarbon.config. Its own emissions are not used (`EnergyMeter` knows the carbon
    intensity); fixing them keeps it from asking a service.
    `start_task`/`stop_task` without `start()`: the periodic measurement of `start()` would count energy twice.
    """
    logging.getLogger("codecarbon").addFilter(_silence)  # before the import: that already logs
    from codecarbon import OfflineEmissionsTracker

    tracker = OfflineEmissionsTracker(
        country_iso_code=None,
        force_carbon_intensity_g_co2e_kwh=0.0,
        electricitymaps_api_token=None,
        emissions_endpoint=None,
        output_methods=[],
        output_handlers=[],
        output_dir=".",
        allow_multiple_runs=True,  # False would write a lock file
        tracking_mode="process",
        pue=1.0,
        wue=0.0,
        log_level="critical",
        **({"gpu_ids": [_own_gpu()]} if world_size() > 1 else {}),
    )
    tracker.get_detected_hardware()  # also raises what the constructor has suppressed
    tracker.start_task()  # the first task loads data files
    tracker.stop_task()
    return tracker


def _own_gpu() -> str:
    """Index or identifier of the GPU that this process uses among several."""
    visible = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
    return visible[Group.local_rank] if Group.local_rank < len(visible) else str(Group.local_rank)


def _silence(record: logging.LogRecord) -> bool:
    """Keep codecarbon's own messages (dozens per run) off the terminal."""
    return False


def _component(part) -> Literal["cpu", "gpu", "ram"]:
    """Which component a codecarbon hardware object stands for: class RAM, CPU or GPU, else its `chip_part`."""
    return getattr(part, "chip_part", type(part).__name__).lower()


def _source(part) -> _Source:
    """RAM() is always a model of the memory size, CPU() a load model or a constant unless it reads a counter."""
    modelled = type(part).__name__ == "RAM" or getattr(part, "_mode", None) in ("cpu_load", "constant")
    return "estimated" if modelled else "measured"
