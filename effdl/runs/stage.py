"""One stage of a run: what it leaves in the folder, and what it cost."""

import logging
import math
from collections.abc import Iterable

from effdl.compression.method import Kind
from effdl.measure.energy import Energy, EnergyMeter
from effdl.measure.metrics import COSTS
from effdl.runs import invariants
from effdl.runs.folder import RunFolder
from effdl.utils.errors import RunError

log = logging.getLogger(__name__)


def recorded(folder: RunFolder, stage: str) -> dict | None:
    """The row of a stage that was measured, by this process or before the run was cut off."""
    return next((row for row in folder.stages.read() if row["stage"] == stage), None)


def check_loss(row: dict) -> None:
    """Refuse a model whose loss is not finite.

    Raises:
        RunError: it is not.
    """
    if not math.isfinite(row["loss"]):
        raise RunError(f"the loss on the test split is {row['loss']}: lower optimizer.lr, or set clip_norm or warm-up")


def keep_layers(folder: RunFolder, stage: str, layers: list[dict], kind: Kind | None = None) -> None:
    """Keep the rows of a stage's layers, and make sure that the stage did what its kind says and undid nothing.

    Raises:
        RunError: it did not: a method is at fault.
    """
    rows = [row for row in folder.layers.read() if row["stage"] != stage]
    folder.layers.write(rows + [{"stage": stage, **row} for row in layers])
    earlier = list(dict.fromkeys(row["stage"] for row in rows if row["stage"] != "teacher"))
    if stage == "teacher" or not earlier:
        return
    of = {name: [row for row in rows if row["stage"] == name] for name in earlier}
    if problems := invariants.violations(of[earlier[-1]], layers):
        raise RunError(f"{stage} undid what {earlier[-1]} had brought: {'; '.join(problems[:3])}")
    if problem := invariants.unkept(kind, of[earlier[-1]], layers):
        raise RunError(f"{stage}: {problem}")
    for name in earlier[1:]:
        log.info("%s: %s still holds: %s", stage, name, invariants.summary(layers, of["dense"]))


def training_cost(folder: RunFolder, stage: str, meter: EnergyMeter) -> dict:
    """Time, energy, CO2 and peak memory of a stage's trainings, from its epochs, those before an interruption too."""
    rows = [row for row in folder.epochs.read() if row["stage"] == stage]
    peaks = [row["memory_peak_bytes"] for row in rows]
    return {
        "epochs": len(rows),
        **({key: sum_or_none(row[key] for row in rows) for key in COSTS} if rows else _no_training(meter)),
        "memory_peak_bytes": max(peaks) if peaks and None not in peaks else None,
    }


def evaluation_cost(used: Energy) -> dict:
    """What measuring a stage cost."""
    return {f"evaluate_{key}": getattr(used, key) for key in COSTS}


def _no_training(meter: EnergyMeter) -> dict:
    """What a stage without training cost: nothing, if a meter would have seen it."""
    known = set(meter.sources().values()) != {"unavailable"}
    return {"duration_s": 0.0, "energy_kwh": 0.0 if known else None, "co2eq_g": 0.0 if known else None}


def sum_or_none(values: Iterable[float | None]) -> float | None:
    """A sum, unknown (None) if a part is unknown."""
    values = list(values)
    return None if None in values else sum(values)
