import inspect
import json
import logging
import subprocess
import sys
import threading
import time
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest
import yaml

from effdl.measure import energy
from effdl.measure.carbon_intensity import carbon_intensity
from effdl.measure.energy import Energy, EnergyMeter
from effdl.measure.metrics import METERED
from effdl.measure.power import Component
from effdl.measure.usage import Usage
from effdl.utils.errors import UserError

JOULES_PER_KWH = 3.6e6


@pytest.fixture(scope="module")
def meter():
    return EnergyMeter(enabled=True, country="FRA", pue=1.58)


def work(seconds):
    """Be busy; returns how long it took, which is more if others are too."""
    start = time.perf_counter()
    while time.perf_counter() < start + seconds:
        pass
    return time.perf_counter() - start


def cpu_seconds():
    times = psutil.Process().cpu_times()
    return times.user + times.system


def test_sources_and_description(meter):
    sources, described = meter.sources(), meter.describe()
    assert list(sources) == ["cpu", "gpu", "ram"]
    assert sources["ram"] == "estimated"
    assert described["basis"]["ram"].startswith(f"{described['ram_power_w']:g} W, codecarbon's model of ")
    if not Path("/sys/class/powercap/intel-rapl").exists():
        assert sources["cpu"] in ("estimated", "constant")
        assert described["cpu_power_w"] > 0
    if not Path("/dev/nvidia0").exists():
        assert sources["gpu"] == "unavailable"
        assert described["basis"]["gpu"] == "no GPU was found"
    assert described["tracker"] == f"codecarbon {version('codecarbon')}"
    assert (described["country"], described["pue"], described["note"]) == ("FRA", 1.58, None)
    assert 20 < described["grid_g_per_kwh"] < 100  # nuclear
    assert described["grid_source"].startswith("France, 20")
    json.dumps(described)


def test_components_and_footprint(meter):
    with meter.phase() as used:
        assert used == Energy()
        work(0.2)
    assert 0.2 <= used.duration_s < 0.4
    assert used.energy_kwh > 0
    parts = [kwh for kwh in (used.cpu_kwh, used.gpu_kwh, used.ram_kwh) if kwh is not None]
    assert used.energy_kwh == pytest.approx(sum(parts), rel=1e-12)
    assert (used.gpu_kwh is None) == (meter.sources()["gpu"] == "unavailable")
    assert used.co2eq_g == used.energy_kwh * 1.58 * meter.grid_g_per_kwh


def test_estimated_cpu_energy_is_power_times_cpu_time(meter):
    if meter.sources()["cpu"] == "measured":
        pytest.skip("this machine has an energy counter")
    before = cpu_seconds()
    with meter.phase() as used:
        work(1)
    expected = meter.describe()["cpu_power_w"] * (cpu_seconds() - before) / psutil.cpu_count()
    assert used.cpu_kwh * JOULES_PER_KWH == pytest.approx(expected, rel=0.1)


def test_short_phases_add_up_to_a_long_one(meter):
    before, phases, inside = cpu_seconds(), [], []
    for _ in range(10):
        with meter.phase() as used:
            inside.append(work(0.1))
        phases.append(used)
    short_cpu = cpu_seconds() - before
    before = cpu_seconds()
    with meter.phase() as long:
        inside.append(work(1))
    long_cpu, short = cpu_seconds() - before, sum(phases)
    assert all(a <= b.duration_s for a, b in zip(inside, [*phases, long], strict=True))
    assert short.duration_s == pytest.approx(sum(used.duration_s for used in phases))
    assert short.ram_kwh / short.duration_s == pytest.approx(long.ram_kwh / long.duration_s, rel=0.15)
    if meter.sources()["cpu"] != "measured":  # per CPU second, as other jobs may take the processor away
        assert short.cpu_kwh / short_cpu == pytest.approx(long.cpu_kwh / long_cpu, rel=0.15)


def test_a_phase_costs_little(meter):
    def cost():
        start = time.thread_time()  # of the processor: others may be at it too
        with meter.phase():
            pass
        return time.thread_time() - start

    assert min(cost() for _ in range(21)) < 0.005 + 1e-4 * len(psutil.pids())  # 5 ms with 70 processes


def test_errors_pass_through_a_phase(meter):
    with pytest.raises(ValueError, match="inside"), meter.phase() as used:
        raise ValueError("inside")
    assert used.energy_kwh is not None


class Clock:
    """A clock that stands still except when it is told, and hardware that uses 1 kWh in each of its seconds."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(energy, "perf_counter", lambda: self.now)
        monkeypatch.setattr(energy, "usage", self.read)
        monkeypatch.setattr(energy, "components", lambda: [Component("cpu", "measured", "", lambda i: i.duration_s)])
        self.readings = 0

    def read(self):
        """A reading of the meter takes 7 s, which no phase is charged."""
        self.now += 7
        self.readings += 1
        return Usage(0.0, 3.0 * self.readings, 0)


def test_what_an_inner_phase_uses_is_charged_to_it_alone(monkeypatch):
    clock = Clock(monkeypatch)
    meter = EnergyMeter(enabled=True, country=None, pue=2.0)
    with meter.phase() as outer:
        clock.now += 1
        with meter.phase() as inner:
            clock.now += 10
        clock.now += 2
        with meter.phase() as second:
            clock.now += 20
        clock.now += 4
    assert [used.duration_s for used in (outer, inner, second)] == [7.0, 10.0, 20.0]
    assert [used.energy_kwh for used in (outer, inner, second)] == [7.0, 10.0, 20.0]
    assert (outer.gpu_kwh, outer.ram_kwh, inner.others_cpu_s) == (None, None, 3.0)
    assert inner.co2eq_g == 10 * 2 * 475


def unknown(used):
    values = (used.energy_kwh, used.cpu_kwh, used.gpu_kwh, used.ram_kwh, used.co2eq_g)
    return used.duration_s >= 0 and all(value is None for value in values)


def empty_phases(meter, count):
    """What phases in which nothing happens are said to have used."""
    for _ in range(count):
        with meter.phase() as used:
            pass
        yield used


def test_a_meter_that_hangs_is_given_up(monkeypatch, caplog):
    """As codecarbon's lock does when its thread could not be started."""
    release = threading.Event()
    monkeypatch.setattr(energy, "_READ_LIMIT_S", 0.05)
    monkeypatch.setattr(energy, "components", lambda: [Component("cpu", "measured", "", lambda _: release.wait())])
    meter = EnergyMeter(enabled=True, country=None, pue=1.0)
    with caplog.at_level(logging.WARNING):
        assert all(unknown(used) for used in empty_phases(meter, 3))
    release.set()
    assert meter.describe()["note"] == "the meter did not answer within 0.05 s"
    assert [record.getMessage() for record in caplog.records] == [f"energy is not measured: {meter.note}"]


def test_a_meter_whose_start_hangs_is_given_up_and_stays_so(monkeypatch, caplog):
    release = threading.Event()
    monkeypatch.setattr(energy, "_START_LIMIT_S", 0.05)
    monkeypatch.setattr(
        energy, "components", lambda: release.wait() and [Component("cpu", "measured", "", lambda _: 1)]
    )
    meter = EnergyMeter(enabled=True, country=None, pue=1.0)
    assert set(meter.sources().values()) == {"unavailable"}
    release.set()
    with meter.phase() as used:
        pass
    assert unknown(used)
    assert meter.note == "the meter did not answer within 0.05 s"


def test_a_machine_that_starts_no_thread_has_no_energy_but_runs(monkeypatch, caplog):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    meter = EnergyMeter(enabled=True, country=None, pue=1.0)
    with meter.phase() as used:
        pass
    assert unknown(used)
    assert meter.describe()["note"] == "can't start new thread"


def test_construction_is_quick():
    start = time.thread_time()  # what takes long is done in another thread
    EnergyMeter(enabled=True, country="USA", pue=1.0)
    assert time.thread_time() - start < 0.05


def test_world_average():
    assert carbon_intensity(None) == (475, "world average")


@pytest.mark.parametrize(
    ("country", "hint"),
    [("FRX", "FRA (France)"), ("France", "FRA (France)"), ("Germny", "DEU (Germany)"), ("fra", "FRA (France)")],
)
def test_unknown_country(country, hint):
    with pytest.raises(UserError) as error:
        EnergyMeter(enabled=True, country=country, pue=1.0)
    message = str(error.value)
    assert f"energy.country={country!r}" in message
    assert f"perhaps {hint}" in message or f", {hint}" in message
    assert "null for the world average" in message


def test_a_failing_tracker_never_fails_the_run(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "codecarbon", None)  # importing it fails, its data are not found
    with caplog.at_level(logging.WARNING):
        meter = EnergyMeter(enabled=True, country="FRA", pue=1.0)
        assert all(unknown(used) for used in empty_phases(meter, 2))
    assert meter.sources() == {"cpu": "unavailable", "gpu": "unavailable", "ram": "unavailable"}
    assert meter.describe()["tracker"] is None
    assert (meter.grid_g_per_kwh, meter.grid_source) == (None, "unavailable")
    assert [record.getMessage()[:23] for record in caplog.records] == ["energy is not measured:"]


def test_a_counter_that_fails_later(monkeypatch, caplog):
    def lost(interval):
        raise OSError("counter gone")

    monkeypatch.setattr(energy, "components", lambda: [Component("cpu", "measured", "", lost)])
    meter = EnergyMeter(enabled=True, country=None, pue=1.0)
    with caplog.at_level(logging.WARNING):
        assert all(unknown(used) for used in empty_phases(meter, 2))
    assert [record.getMessage() for record in caplog.records] == ["energy is not measured: counter gone"]


def test_disabled():
    meter = EnergyMeter(enabled=False, country=None, pue=1.0)
    with meter.phase() as used:
        time.sleep(0.01)
    assert unknown(used)
    assert used.duration_s >= 0.01
    assert set(meter.sources().values()) == {"unavailable"}


def test_a_sum_with_an_unknown_part_is_unknown():
    one, two = Energy(1.0, 0.5, 10.0, 0.25, None, 0.25, 4.0), Energy(2.0, 1.5, 30.0, 1.25, None, 0.25, 5.0)
    assert one + two == sum([one, two]) == Energy(3.0, 2.0, 40.0, 1.5, None, 0.5, 9.0)
    assert one + Energy(2.0) == Energy(3.0)


def test_the_metrics_are_those_of_a_phase():
    assert [field.name for field in fields(Energy)] == list(METERED)


AUDITED = """
import sys
events = []
def hook(event, args):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.sendto")):
        events.append((event, str(args)))
    writes = event == "open" and isinstance(args[0], str) and set(args[1] or "") & set("wax+")
    if writes and not args[0].startswith("/dev/") and ".pyc" not in args[0]:
        events.append((event, str(args)))
sys.addaudithook(hook)
from effdl.measure.energy import EnergyMeter
assert "codecarbon" not in sys.modules and "pandas" not in sys.modules and "torch" not in sys.modules
meter = EnergyMeter(enabled=True, country=None, pue=1.0)
with meter.phase() as used:
    sum(range(10**6))
assert used.energy_kwh > 0, used
assert meter.describe()["pue"] == 1.0
print(events)
"""


def test_no_network_no_files_no_output(tmp_path):
    """Even with a configuration of codecarbon that asks for all of them."""
    (tmp_path / ".codecarbon.config").write_text(
        "[codecarbon]\nsave_to_api=true\nemissions_endpoint=http://127.0.0.1:9\nelectricitymaps_api_token=x\n"
        "save_to_file=true\nallow_multiple_runs=false\noutput_dir=/no-such-folder\npue=3\nlog_level=debug\n"
    )
    done = subprocess.run([sys.executable, "-c", AUDITED], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)
    assert [path.name for path in tmp_path.iterdir()] == [".codecarbon.config"]


def test_default_config_gives_every_argument():
    text = (Path(__file__).parents[2] / "configs/energy/default.yaml").read_text()
    config = yaml.safe_load(text)
    assert text.startswith("# ")
    assert config == {"enabled": True, "country": None, "pue": 1.0, "price_per_hour": None}
    assert list(config) == list(inspect.signature(EnergyMeter).parameters)
