import inspect
import json
import logging
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest
import yaml

from effdl.measure import energy
from effdl.measure.carbon_intensity import carbon_intensity
from effdl.measure.energy import Energy, EnergyMeter
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
    if not Path("/sys/class/powercap/intel-rapl").exists():
        assert sources["cpu"] == "estimated"
        assert described["cpu_power_w"] > 0
    if not Path("/dev/nvidia0").exists():
        assert sources["gpu"] == "unavailable"
    assert described["tracker"] == f"codecarbon {version('codecarbon')}"
    assert (described["country"], described["pue"]) == ("FRA", 1.58)
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
    if meter.sources()["cpu"] != "estimated":
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
    if meter.sources()["cpu"] == "estimated":  # per CPU second, as other jobs may take the processor away
        assert short.cpu_kwh / short_cpu == pytest.approx(long.cpu_kwh / long_cpu, rel=0.15)


def test_a_phase_costs_little(meter):
    def cost():
        start = time.thread_time()  # of the processor: others may be at it too
        with meter.phase():
            pass
        return time.thread_time() - start

    assert min(cost() for _ in range(21)) < 0.005 + 1e-4 * len(psutil.pids())  # 5 ms with 70 processes


def test_phases_do_not_nest_and_errors_pass_through(meter):
    with meter.phase(), pytest.raises(RuntimeError, match="do not nest"), meter.phase():
        pass
    with pytest.raises(ValueError, match="inside"), meter.phase() as used:
        raise ValueError("inside")
    assert used.energy_kwh is not None


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


def unknown(used):
    values = (used.energy_kwh, used.cpu_kwh, used.gpu_kwh, used.ram_kwh, used.co2eq_g)
    return used.duration_s >= 0 and all(value is None for value in values)


def test_a_failing_tracker_never_fails_the_run(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "codecarbon", None)  # importing it fails, its data are not found
    with caplog.at_level(logging.WARNING):
        meter = EnergyMeter(enabled=True, country="FRA", pue=1.0)
        for _ in range(2):
            with meter.phase() as used:
                pass
            assert unknown(used)
    assert meter.sources() == {"cpu": "unavailable", "gpu": "unavailable", "ram": "unavailable"}
    assert meter.describe()["tracker"] is None
    assert (meter.grid_g_per_kwh, meter.grid_source) == (None, "unavailable")
    assert [record.getMessage()[:23] for record in caplog.records] == ["energy is not measured:"]


def test_a_tracker_that_fails_later(monkeypatch, caplog):
    class Broken:
        _hardware = ()

        def start_task(self):
            pass

        def stop_task(self):
            raise OSError("counter gone")

    monkeypatch.setattr(energy, "start_tracker", Broken)
    meter = EnergyMeter(enabled=True, country=None, pue=1.0)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with meter.phase() as used:
                pass
            assert unknown(used)
    assert [record.getMessage() for record in caplog.records] == ["energy is not measured: OSError: counter gone"]


def test_disabled():
    meter = EnergyMeter(enabled=False, country=None, pue=1.0)
    with meter.phase() as used:
        time.sleep(0.01)
    assert unknown(used)
    assert used.duration_s >= 0.01
    assert set(meter.sources().values()) == {"unavailable"}


def test_a_sum_with_an_unknown_part_is_unknown():
    one, two = Energy(1.0, 0.5, 0.25, None, 0.25, 10.0), Energy(2.0, 1.5, 1.25, None, 0.25, 30.0)
    assert one + two == sum([one, two]) == Energy(3.0, 2.0, 1.5, None, 0.5, 40.0)
    assert one + Energy(2.0) == Energy(3.0)


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
    assert config == {"enabled": True, "country": None, "pue": 1.0}
    assert list(config) == list(inspect.signature(EnergyMeter).parameters)
