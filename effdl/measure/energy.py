"""Time, energy and carbon footprint of the phases of a run, without any network.

`effdl.measure.power` says how the energy of each component is known, and which part of it a run is charged.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.metadata import version
from time import perf_counter
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from effdl.config.types import NonNegative
from effdl.measure.carbon_intensity import carbon_intensity
from effdl.measure.power import COMPONENTS, Component, Source, components, energies
from effdl.measure.usage import Usage, between, usage
from effdl.utils.distributed import gathered, world_size

_Pue = Annotated[float, Field(ge=1, allow_inf_nan=False)]
_T = TypeVar("_T")

log = logging.getLogger(__name__)
_START_LIMIT_S = 60  # it takes about 2 s; a machine where it hangs gets no energy figures, but runs
_READ_LIMIT_S = 20  # it takes about 2 ms


@dataclass
class Energy:
    """Time, energy and emissions of a phase. `energy_kwh` is that of the hardware (available ones of cpu, gpu, ram),
    measured or estimated, without PUE; ``co2eq_g = energy_kwh x pue x grid_g_per_kwh``; `others_cpu_s` is the CPU time
    that other programs used meanwhile. None is unknown, never 0.

    Phases add up (also with ``sum``); a sum with an unknown part is unknown.
    """

    duration_s: float | None = None
    energy_kwh: float | None = None
    co2eq_g: float | None = None
    cpu_kwh: float | None = None
    gpu_kwh: float | None = None
    ram_kwh: float | None = None
    others_cpu_s: float | None = None

    def __add__(self, other: "Energy") -> "Energy":
        pairs = [(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)]
        return Energy(*(None if a is None or b is None else a + b for a, b in pairs))

    def __radd__(self, start: Literal[0]) -> "Energy":
        return self if start == 0 else NotImplemented  # sum() starts from 0


class EnergyMeter:
    """Measures phases: ``with meter.phase() as used: ...`` fills `used`, an `Energy`, at the end of the block.

    A meter that is not enabled, or that fails or hangs, fills in durations only, and the run goes on.

    Args:
        country: ISO 3166 alpha-3, for the carbon intensity of electricity; None: world average.
        pue: total energy of the computing centre per energy of its hardware (power usage effectiveness).
        price_per_hour: of what the run uses, in USD, for reports; None: not known.

    Raises:
        UserError: an unknown country.
    """

    def __init__(
        self, *, enabled: bool, country: str | None, pue: _Pue, price_per_hour: NonNegative | None = None
    ) -> None:
        self.country, self.pue, self.price_per_hour = country, pue, price_per_hour
        self.grid_g_per_kwh, self.grid_source = carbon_intensity(country)
        self.note = None if enabled else "energy.enabled=false"  # why there are no energy figures
        self._components: list[Component] = []
        self._phases: list[list[Energy]] = []  # those that are open, the innermost last
        self._since, self._used = perf_counter(), Usage(0.0, 0.0, 0)
        self._starting: Future | None = None
        if enabled:
            self._attempt(self._start)

    @contextmanager
    def phase(self) -> Iterator[Energy]:
        """Measure the block. What is used in a phase inside another one is charged to the inner one only.

        So phases add up to all that was used while one was open. A reading costs about 2 ms, outside `duration_s`.
        """
        used, parts = Energy(), []
        self._charge()
        self._phases.append(parts)
        try:
            yield used
        finally:
            self._charge()
            self._phases.pop()
            vars(used).update(vars(sum(parts)))

    def sources(self) -> dict[str, Source]:
        """How the energy of ``cpu``, ``gpu`` and ``ram`` is known."""
        found = {component.name: component.source for component in self._ready()}
        return {name: found.get(name, "unavailable") for name in COMPONENTS}

    def describe(self) -> dict:
        """The basis of the figures. ``basis`` says by component what they rest on; ``cpu_power_w`` and ``ram_power_w``
        are the watts that estimates assume, else None; ``note`` says why there are no figures, else None.
        """
        found = {component.name: component for component in self._ready()}
        power = {name: component.power_w for name, component in found.items()}
        return {
            "basis": {name: component.basis for name, component in found.items()},
            "cpu_power_w": power.get("cpu"),
            "ram_power_w": power.get("ram"),
            "tracker": f"codecarbon {version('codecarbon')}" if found else None,
            "note": self.note,
            "country": self.country,
            "grid_g_per_kwh": self.grid_g_per_kwh,
            "grid_source": self.grid_source,
            "pue": self.pue,
            "price_per_hour": self.price_per_hour,
        }

    def _charge(self) -> None:
        """Charge what was used since the last time to the innermost open phase."""
        used = Energy(perf_counter() - self._since)
        if self._ready():
            used = (
                self._attempt(lambda: _within(_READ_LIMIT_S, _in_thread(lambda: self._read(used.duration_s)))) or used
            )
        if self._phases:
            self._phases[-1].append(used)
        self._since = perf_counter()

    def _read(self, duration_s: float) -> Energy:
        """What was used since the last reading, `duration_s` ago."""
        before, self._used = self._used, usage()
        interval = between(before, self._used, duration_s)
        kwh = energies(self._components, interval)
        known = [value for value in kwh.values() if value is not None]
        total = sum(known) if known else None
        return Energy(
            duration_s,
            total,
            None if None in (total, self.grid_g_per_kwh) else total * self.pue * self.grid_g_per_kwh,
            *(kwh[name] for name in COMPONENTS),
            others_cpu_s=interval.others_cpu_s if world_size() == 1 else None,  # the others are of this run
        )

    def _start(self) -> None:
        """Begin to detect the hardware behind what the caller does meanwhile."""
        self._starting = _in_thread(lambda: (components(), usage()))

    def _ready(self) -> list[Component]:
        """Wait until the hardware is detected, and return its components; none if that failed."""
        if self._starting:
            starting, self._starting = self._starting, None
            self._components, self._used = self._attempt(lambda: _within(_START_LIMIT_S, starting)) or ([], self._used)
        return self._components

    def _attempt(self, action: Callable[[], _T]) -> _T | None:
        """What an action returns; an error in it ends the measurement, not the run."""
        try:
            return action()
        except Exception as error:
            self._components, self.note = [], str(error) or repr(error)
            log.warning("energy is not measured: %s", self.note)
            return None


def of_all_processes(used: Energy) -> Energy:
    """The energy of all processes of the run, in the time of this one."""
    return replace(sum(gathered(used)), duration_s=used.duration_s)


@cache
def _shared_meter(energy: str) -> EnergyMeter:
    return EnergyMeter(**json.loads(energy))


def energy_meter(config: dict) -> EnergyMeter:
    """The meter for a run's config; one per process, because it takes seconds to start."""
    return _shared_meter(json.dumps(config["energy"]))


def _in_thread(function: Callable[[], _T]) -> "Future[_T]":
    """Call a function in a thread, which is left behind if it hangs."""
    future: Future = Future()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def _within(limit_s: float, future: "Future[_T]") -> _T:
    """The result of a future.

    Raises:
        TimeoutError: it is not there within the limit.
    """
    try:
        return future.result(limit_s)
    except TimeoutError:
        if future.done():  # the function's own
            raise
        raise TimeoutError(f"the meter did not answer within {limit_s} s") from None
