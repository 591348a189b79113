"""Shares of what a machine draws. codecarbon's objects stand at the edge: counters that this machine may lack."""

import re
from types import SimpleNamespace

import pytest

from effdl.measure.power import (
    COMPONENTS,
    component,
    components,
    energies,
    estimated_cpu,
    modelled_memory,
)
from effdl.measure.usage import Interval

JOULES_PER_KWH = 3.6e6
GB = 2**30


def named(name, **attributes):
    """An object of a class of this name."""
    return type(name, (SimpleNamespace,), {})(**attributes)


def counter(kwh):
    return lambda last_duration: (None, SimpleNamespace(kWh=kwh))


def test_a_processor_without_counter_is_charged_by_cpu_time():
    cpu = estimated_cpu("Xeon E5", 120, 8, known=True)
    assert cpu.energy_kwh(Interval(10.0, 4.0, 9.0, 0.0)) * JOULES_PER_KWH == pytest.approx(120 * 4 / 8)
    assert (cpu.source, cpu.power_w) == ("estimated", 120)
    assert cpu.basis == "120 W, the TDP of Xeon E5, over 8 threads, by CPU time"


def test_a_processor_that_nobody_knows_is_a_constant_and_no_tdp():
    cpu = estimated_cpu("Xeon", 32, 8, known=False)
    assert (cpu.source, cpu.power_w) == ("constant", 32)
    assert cpu.basis == "4 W per thread, codecarbon's constant as it knows no TDP of Xeon, by CPU time"


def test_four_sleeping_jobs_share_the_power_of_one_memory():
    ram = modelled_memory(20, 16)
    job = Interval(10.0, 0.0, 0.0, 2 * GB)
    assert 4 * ram.energy_kwh(job) * JOULES_PER_KWH == pytest.approx(20 * 10 * 4 * 2 / 16)
    whole = Interval(10.0, 0.0, 0.0, 64 * GB)  # pages counted twice in processes that forked
    assert ram.energy_kwh(whole) * JOULES_PER_KWH == pytest.approx(20 * 10)


def test_a_counter_of_the_machine_is_shared_by_cpu_time():
    rapl = component(named("CPU", _mode="intel_rapl", measure_power_and_energy=counter(8.0)))
    jobs = [Interval(1.0, 1.5, 2.0, 0.0), Interval(1.0, 0.5, 2.0, 0.0)]
    assert [rapl.energy_kwh(job) for job in jobs] == [6.0, 2.0]
    assert (rapl.name, rapl.source) == ("cpu", "measured")
    assert rapl.basis == "the RAPL counter of the machine, by this run's share of the CPU time"


def gpu(*counters, kwh=3.0):
    devices = [
        SimpleNamespace(gpu_index=i, _gpu_name=f"GPU{i}", _has_counter=has, _use_power_fallback=not has)
        for i, has in enumerate(counters)
    ]
    found = SimpleNamespace(devices=devices)
    return named("GPU", devices=found, _get_gpu_ids=lambda: [0, 1], measure_power_and_energy=counter(kwh))


def test_a_gpu_without_energy_counter_is_unavailable_and_not_0():
    idle = Interval(1.0, 0.0, 0.0, 0.0)
    without, with_it = component(gpu(True, False)), component(gpu(True, True, False))
    assert (without.source, without.basis) == ("unavailable", "no energy counter in GPU0, GPU1")
    assert energies([without], idle) == {"cpu": None, "gpu": None, "ram": None}
    assert (with_it.source, energies([with_it], idle)["gpu"]) == ("measured", 3.0)  # the third one is not visible
    assert component(gpu()).source == "unavailable"


def test_a_gpu_counter_that_stops_is_noticed():
    part = gpu(True)
    found = component(part)
    part.devices.devices[0]._use_power_fallback = True
    with pytest.raises(OSError, match="the energy counter of GPU0 does not answer any more"):
        found.energy_kwh(Interval(1.0, 0.0, 0.0, 0.0))


def test_the_components_of_this_machine():
    found = components()
    assert tuple(item.name for item in found) == COMPONENTS
    assert all((item.energy_kwh is None) == (item.source == "unavailable") for item in found)
    assert all(re.search("[a-z]", item.basis) for item in found)
