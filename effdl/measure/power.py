"""The components of a machine that draw power, and for each how the energy that a run used of it is known.

codecarbon (https://codecarbon.io) finds the hardware, its counters and the processor's nominal power (TDP). What a run
is charged is its share: of the CPU by CPU time, of the memory by the bytes that it holds. So the jobs of a machine are
never charged more than the machine, and what is idle is charged to nobody.
"""

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from effdl.measure.tdp import knows_tdp, use_light_reader
from effdl.measure.usage import Interval
from effdl.utils.distributed import Group, world_size

Source = Literal["measured", "estimated", "constant", "unavailable"]
COMPONENTS = ("cpu", "gpu", "ram")
_JOULES_PER_KWH = 3.6e6
_BYTES_PER_GB = 2**30


@dataclass(frozen=True)
class Component:
    """A component, and how its energy is known.

    Attributes:
        name: of `COMPONENTS`.
        source: ``measured`` by a counter, ``estimated`` from what is known of the hardware, ``constant``: a value that
            stands for hardware of which nothing is known, or ``unavailable``.
        basis: the same in words, with the watts.
        energy_kwh: what a run used in an interval; None if it is unavailable.
        power_w: what an estimate assumes for the whole component in full use.
    """

    name: str
    source: Source
    basis: str
    energy_kwh: Callable[[Interval], float] | None = None
    power_w: float | None = None


def components() -> list[Component]:
    """Those of this machine, one for each of `COMPONENTS`. It takes about 2 s, mostly to wait for a child process."""
    found = [component(part) for part in detect().values()]
    missing = set(COMPONENTS) - {component.name for component in found}
    found += [Component(name, "unavailable", f"no {name.upper()} was found") for name in missing]
    return sorted(found, key=lambda component: COMPONENTS.index(component.name))


def energies(found: Iterable[Component], interval: Interval) -> dict[str, float | None]:
    """kWh that a run used in an interval, by component; None for one that is unavailable."""
    known = {item.name: item.energy_kwh(interval) for item in found if item.energy_kwh}
    return {name: known.get(name) for name in COMPONENTS}


def detect() -> dict[str, Any]:
    """codecarbon's objects for the hardware, their counters set to now, by component.

    It opens no connection and writes no file. Every key that could is given, since codecarbon reads the others from
    CODECARBON_* variables and ~/.codecarbon.config. Only its detection is used: its tasks start a thread that reads
    every second, which hangs for good where no thread can be started.
    """
    logging.getLogger("codecarbon").addFilter(_silence)  # before the import: that already logs
    from codecarbon import OfflineEmissionsTracker

    use_light_reader()
    tracker = OfflineEmissionsTracker(
        country_iso_code=None,
        force_carbon_intensity_g_co2e_kwh=0.0,
        electricitymaps_api_token=None,
        emissions_endpoint=None,
        output_methods=[],
        output_handlers=[],
        output_dir=".",
        allow_multiple_runs=True,  # False would write a lock file
        tracking_mode="machine",
        force_cpu_power=None,
        force_ram_power=None,
        pue=1.0,
        wue=0.0,
        log_level="critical",
        **({"gpu_ids": [_own_gpu()]} if world_size() > 1 else {}),
    )
    tracker.get_detected_hardware()  # also raises what the constructor has suppressed
    found = {getattr(part, "chip_part", type(part).__name__).lower(): part for part in tracker._hardware}
    for part in found.values():
        part.start()
    return found


def component(part) -> Component:
    """What a codecarbon object stands for."""
    name = getattr(part, "chip_part", type(part).__name__).lower()
    if type(part).__name__ == "RAM":
        return modelled_memory(part._calculate_ram_power(part.machine_memory_GB), part.machine_memory_GB)
    if type(part).__name__ == "GPU":
        return _gpu(part)
    if getattr(part, "_mode", None) in ("cpu_load", "constant"):
        return estimated_cpu(part._model, part._tdp, part._cpu_count, known=knows_tdp(part))
    return _counted(part, name)


def estimated_cpu(model: str, power_w: float, threads: int, *, known: bool) -> Component:
    """A processor without a counter: its power x this run's CPU time over that of all threads.

    Args:
        power_w: of all threads in full use.
        known: whether `power_w` is the TDP of this model, or a constant in its place.
    """

    def energy_kwh(interval: Interval) -> float:
        return power_w * interval.own_cpu_s / threads / _JOULES_PER_KWH

    if known:
        basis = f"{power_w:g} W, the TDP of {model}, over {threads} threads, by CPU time"
        return Component("cpu", "estimated", basis, energy_kwh, power_w)
    basis = f"{power_w / threads:g} W per thread, codecarbon's constant as it knows no TDP of {model}, by CPU time"
    return Component("cpu", "constant", basis, energy_kwh, power_w)


def modelled_memory(power_w: float, memory_gb: float) -> Component:
    """The memory: codecarbon's model of the machine's modules x the part of the memory that this run holds."""

    def energy_kwh(interval: Interval) -> float:
        held = min(interval.memory_bytes / (memory_gb * _BYTES_PER_GB), 1.0)
        return power_w * held * interval.duration_s / _JOULES_PER_KWH

    basis = f"{power_w:g} W, codecarbon's model of {memory_gb:.3g} GB, by the part of it that is held"
    return Component("ram", "estimated", basis, energy_kwh, power_w)


def _counted(part, name: str) -> Component:
    """A component with a counter for the whole machine, such as RAPL: a run is charged its share."""
    counter = "RAPL" if getattr(part, "_mode", None) == "intel_rapl" else getattr(part, "_mode", type(part).__name__)

    def energy_kwh(interval: Interval) -> float:
        share = interval.cpu_share if name == "cpu" else 1.0
        return share * part.measure_power_and_energy(last_duration=interval.duration_s)[1].kWh

    shared = ", by this run's share of the CPU time" if name == "cpu" else ""
    return Component(name, "measured", f"the {counter} counter of the machine{shared}", energy_kwh)


def _gpu(part) -> Component:
    """The GPUs that are visible, or that of this process; unavailable if one has no energy counter.

    codecarbon would take single readings of its power for the energy, or 0.
    """
    own = [device for device in part.devices.devices if device.gpu_index in part._get_gpu_ids()]
    names = ", ".join(device._gpu_name for device in own)

    def energy_kwh(interval: Interval) -> float:
        kwh = part.measure_power_and_energy(last_duration=interval.duration_s)[1].kWh
        if lost := [device._gpu_name for device in own if device._use_power_fallback]:
            raise OSError(f"the energy counter of {lost[0]} does not answer any more")
        return kwh

    if not own or not all(device._has_counter for device in own):
        return Component("gpu", "unavailable", f"no energy counter in {names}" if own else "no GPU was found")
    return Component("gpu", "measured", f"the energy counter of {names}, whoever uses it", energy_kwh)


def _own_gpu() -> str:
    """Index or identifier of the GPU that this process uses among several."""
    visible = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
    return visible[Group.local_rank] if Group.local_rank < len(visible) else str(Group.local_rank)


def _silence(record: logging.LogRecord) -> bool:
    """Keep codecarbon's own messages (dozens per run) off the terminal."""
    return False
