"""One stage of a run: what it leaves in the folder, and what it cost."""

import logging
import math
import os

from torch import Tensor

from effdl.compression.method import Kind
from effdl.measure.costs import sum_or_none
from effdl.measure.energy import Energy, EnergyMeter
from effdl.measure.metrics import METERED, on_measuring
from effdl.runs import invariants
from effdl.runs.folder import RunFolder
from effdl.training.remedy import SLOWER
from effdl.utils.errors import RunError

log = logging.getLogger(__name__)
_OTHERS_LIMIT = 0.1  # part of all processors
_LEARNED = 0.02  # part of what guessing gets wrong


def recorded(folder: RunFolder, stage: str) -> dict | None:
    """The row of a stage that was measured, by this process or before the run was cut off."""
    return next((row for row in folder.stages.read() if row["stage"] == stage), None)


def check_loss(row: dict) -> None:
    """Refuse a model whose loss is not finite.

    Raises:
        RunError: it is not.
    """
    if not math.isfinite(row["loss"]):
        raise RunError(f"the loss on the test split is {row['loss']}: {SLOWER}")


def keep_layers(folder: RunFolder, stage: str, layers: list[dict], kind: Kind | None = None) -> None:
    """Keep the rows of a stage's layers, and make sure that the stage did what its kind says and undid nothing.

    Raises:
        RunError: it did not: a method is at fault.
    """
    rows = [row for row in folder.layers.read() if row["stage"] != stage]
    folder.layers.write(rows + [{"stage": stage, **row} for row in layers])
    earlier = list(dict.fromkeys(row["stage"] for row in rows if row["stage"] not in ("teacher", "pretraining")))
    if stage == "teacher" or not earlier:
        return
    of = {name: [row for row in rows if row["stage"] == name] for name in earlier}
    if problems := invariants.violations(of[earlier[-1]], layers):
        raise RunError(f"{stage} undid what {earlier[-1]} had brought: {'; '.join(problems[:3])}")
    if problem := invariants.unkept(kind, of[earlier[-1]], layers):
        raise RunError(f"{stage}: {problem}")
    for name in earlier[1:]:
        log.info("%s: %s still holds: %s", stage, name, invariants.summary(layers, of["dense"]))


def stage_cost(folder: RunFolder, stage: str, rest: Energy) -> dict:
    """Time, energy, FLOPs and peak memory of a stage: of its epochs, those before an interruption too, and of the rest.

    Args:
        rest: what the method used outside its epochs, and what storing its model used.
    """
    rows = [row for row in folder.epochs.read() if row["stage"] == stage]
    peaks = [row["memory_peak_bytes"] for row in rows]
    return {
        "epochs": len(rows),
        **{key: sum_or_none([getattr(rest, key), *(row.get(key) for row in rows)]) for key in METERED},
        "params_trainable": max((row["params_trainable"] for row in rows if "params_trainable" in row), default=None),
        "training_flops": sum_or_none(row.get("training_flops") for row in rows),
        "memory_peak_bytes": max(peaks) if peaks and None not in peaks else None,
    }


def pretrained(folder: RunFolder) -> dict:
    """What the last epoch of a pretraining says of its embeddings, whose projector is not stored."""
    last = [row for row in folder.epochs.read() if row["stage"] == "pretraining"][-1]
    return {key: last[key] for key in ("embedding_std", "embedding_rank")}


def measuring_cost(used: Energy) -> dict:
    """What measuring a stage cost."""
    return {on_measuring(key): getattr(used, key) for key in METERED}


def energy_source(meter: EnergyMeter) -> str:
    """How the energy of each component is known, or why none is."""
    if meter.describe()["note"]:
        return f"unavailable: {meter.note}"
    return ", ".join(f"{part} {how}" for part, how in meter.sources().items())


def warn_of_others(stage: str, row: dict) -> None:
    """Warn if other programs used so much of the processors that the time and energy of a stage are not its own."""
    seconds, busy = row["duration_s"], row["others_cpu_s"]
    if not busy or not seconds:
        return
    part = busy / seconds / os.cpu_count()
    if part > _OTHERS_LIMIT:
        log.warning(
            "%s: other programs used %.0f %% of the processors: it took longer, and more energy, than it would alone",
            stage,
            100 * part,
        )


def warn_of_guessing(stage: str, row: dict, labels: Tensor) -> None:
    """Warn if a trained model tells its own training images apart no better than guessing the commonest class does.

    Args:
        labels: of the training images, int64 (N,).
    """
    if not row["epochs"] or row["train_top1"] is None:
        return
    guessing = float(labels.bincount().max()) / len(labels)
    if row["train_top1"] <= guessing + _LEARNED * (1 - guessing):
        log.warning(
            "%s: top-1 on its training images is %.1f %%, guessing gives %.1f %%: it learned nothing, or forgot it; %s",
            stage,
            100 * row["train_top1"],
            100 * guessing,
            SLOWER,
        )
