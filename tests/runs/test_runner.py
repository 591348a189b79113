"""What a run charges to its stages and to measuring them, by a clock and a counter that say the same every time."""

import subprocess
import sys

import pytest

from effdl.config.compose import composed, settings
from effdl.measure import energy
from effdl.measure.energy import EnergyMeter
from effdl.measure.metrics import METERED
from effdl.measure.power import Component
from effdl.measure.usage import Usage
from effdl.runs.execute import execute
from effdl.runs.folder import RunFolder
from effdl.runs.prepare import prepare_run
from effdl.utils.errors import TrialPruned

QUICK = ("model=mlp", "model.hidden=[8]", "dataset.subset=200", "epochs=2", "device.threads=1")
NO_EPOCHS = ("prune=0.5", "compression.magnitude.epochs=0")


class Stop:
    """Stops the run after a number of epochs."""

    def __init__(self, after):
        self.left = after

    def epoch_end(self, row):
        self.left -= 1
        if not self.left:
            raise TrialPruned("enough")


@pytest.fixture
def seen(monkeypatch):
    """All that meters have read while a phase was open: (seconds, kWh) pairs, by ticks of a clock of its own."""
    charged, ticks = [], [0]

    def clock():
        ticks[0] += 1
        return float(ticks[0])

    def kwh(interval):
        return 0.5 + interval.duration_s**2

    class Watched(EnergyMeter):
        def _charge(self):
            super()._charge()
            if self._phases:
                charged.append((self._phases[-1][-1].duration_s, self._phases[-1][-1].energy_kwh))

    monkeypatch.setattr(energy, "perf_counter", clock)
    monkeypatch.setattr(energy, "usage", lambda: Usage(0.0, float(clock()), 0))
    monkeypatch.setattr(energy, "components", lambda: [Component("cpu", "measured", "a fake", kwh)])
    charged.append(Watched)
    return charged


@pytest.fixture
def run(tmp_path, seen):
    """Carry out a run; returns its folder. `seen` then holds what its meter was asked to charge."""
    make = seen.pop()

    def run(*overrides, callbacks=()):
        prepared = prepare_run(settings(composed([*QUICK, *overrides], None)))
        folder = RunFolder(tmp_path / "run")
        folder.path.mkdir(exist_ok=True)
        execute(prepared, folder, make(**prepared.config["energy"]), callbacks)
        return folder

    return run


def test_stages_and_measuring_are_all_that_the_meter_saw(run, seen):
    result = run(*NO_EPOCHS).result
    stages, total = result["stages"], result["total"]
    for place, key in enumerate(("duration_s", "energy_kwh")):
        own, measuring = ([row[name] for row in stages] for name in (key, f"evaluate_{key}"))
        assert min(own + measuring) > 0
        assert (total[key], total[f"evaluate_{key}"]) == (pytest.approx(sum(own)), pytest.approx(sum(measuring)))
        assert sum(own + measuring) == pytest.approx(sum(item[place] for item in seen))
    assert total["co2eq_g"] == pytest.approx(475 * total["energy_kwh"])


def test_a_stage_without_epochs_costs_what_its_method_computes(run):
    dense, prune = run(*NO_EPOCHS).result["stages"]
    assert (dense["epochs"], prune["epochs"], prune["training_flops"]) == (2, 0, 0)
    assert prune["duration_s"] > 0
    assert prune["cpu_kwh"] == prune["energy_kwh"] > 0
    assert prune["energy_source"] == "cpu measured, gpu unavailable, ram unavailable"


def test_a_stage_costs_more_than_its_epochs(run):
    folder = run()
    [dense], epochs = folder.result["stages"], folder.epochs.read()
    assert dense["energy_kwh"] > sum(row["energy_kwh"] for row in epochs) > 0
    assert dense["others_cpu_s"] > 0


def test_what_was_trained_before_an_interruption_counts(run):
    folder = run(callbacks=[Stop(after=1)])
    [first] = folder.epochs.read()
    assert folder.run["status"] == "stopped"
    result = run("resume=true").result
    first_again, second = folder.epochs.read()
    assert first_again == first
    [dense] = result["stages"]
    assert first["training_flops"] == second["training_flops"] == first["images"] * 2 * (2 * 64 * 8 + 3 * 8 * 10)
    assert result["total"]["training_flops"] == dense["training_flops"] == 2 * first["training_flops"]
    for key in METERED:
        if first[key] is None:
            assert dense[key] is None
        else:
            assert dense[key] > first[key] + second[key] > 0


def test_a_run_without_a_meter_knows_its_time_only_and_says_why(run):
    result = run("energy.enabled=false", "energy.price_per_hour=2").result
    [dense] = result["stages"]
    assert (dense["energy_kwh"], dense["others_cpu_s"], result["total"]["energy_kwh"]) == (None, None, None)
    assert dense["duration_s"] > 0
    assert dense["energy_source"] == "unavailable: energy.enabled=false"
    assert result["total"]["energy"]["note"] == "energy.enabled=false"


def test_what_imports_take_is_no_training(tmp_path):
    """PyTorch imports its compiler with a process's first optimizer: seconds, and 80 MB."""
    command = [sys.executable, "-m", "effdl", "train", *QUICK, *NO_EPOCHS, "energy.enabled=false", "hydra.run.dir=run"]
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    dense = RunFolder(tmp_path / "run").result["stages"][0]
    assert 0 < dense["memory_peak_bytes"] < 30e6
