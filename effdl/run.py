"""One run: train, measure, then each compression step, measuring after each, and save."""

import logging
import math
from collections.abc import Callable, Iterable
from contextlib import suppress

import torch
from rich.console import Console
from torch import nn

from effdl import artifact
from effdl.bench import Bench
from effdl.checkpoint import Checkpoint
from effdl.compression.mask import make_permanent
from effdl.data.load import Data
from effdl.errors import RunError, UserError
from effdl.evaluate import measure
from effdl.files import append_row, read_rows, write_atomic, write_json, write_rows
from effdl.logs import logging_to
from effdl.measure.energy import EnergyMeter
from effdl.prepare import Prepared, describe, description, on_device, recipe_of, steps_of
from effdl.provenance import provenance
from effdl.recipe import Recipe
from effdl.report.outcome import show_result
from effdl.report.progress import Progress
from effdl.results import DONE, FAILED, INTERRUPTED, EpochLog, RunFolder
from effdl.seeding import derive_seed
from effdl.train import fit

log = logging.getLogger(__name__)


def carry_out(prepared: Prepared, folder: RunFolder, meter: EnergyMeter, console: Console) -> int:
    """Run in a folder that `RunFolder.check_free` let pass, record how it ended, and return the exit code."""
    display = Progress(console)
    try:
        folder.claim(prepared.config)
    except (RunError, UserError) as error:  # another run's folder: nothing in it is touched
        console.print(f"effdl: {error}", style="red", highlight=False, soft_wrap=True)
        return 1
    with logging_to(folder.log_file, display.note):
        try:
            run(prepared, folder, meter, display)
        except KeyboardInterrupt:
            display.stop([])
            end(folder, INTERRUPTED, "by the user")
            console.print(
                f"interrupted; to continue: effdl train resume={folder.path}", highlight=False, soft_wrap=True
            )
            raise
        except (RunError, UserError, torch.OutOfMemoryError) as error:
            display.stop([])
            end(folder, FAILED, str(error))
            console.print(f"effdl: {error}", style="red", highlight=False, soft_wrap=True)
            return 1
        except BaseException as error:
            display.stop([])
            log.exception("the run failed")
            end(folder, FAILED, repr(error))
            raise
    show_result(folder, console)
    return 0


def run(prepared: Prepared, folder: RunFolder, meter: EnergyMeter, display: Progress) -> dict:
    """Train, measure, then each compression step, measuring after each; returns what ``result.json`` holds."""
    data = on_device(prepared.data, prepared.place.device)
    sources = {"data_fingerprint": data.fingerprint, **provenance(prepared.place.device)}
    folder.start(prepared.config, {"seed": prepared.config["seed"], **sources})
    display.note(describe(prepared))
    model, rows = prepared.model, {row["stage"]: row for row in read_rows(folder.stages_file)}
    write_rows(folder.stages_file, list(rows.values()))  # without a row that a kill cut short
    size_fp32 = 4 * sum(parameter.numel() for parameter in model.parameters())
    bench = Bench(data, recipe_of(prepared.config, len(data.classes)), trainer(prepared, data, folder, meter, display))
    for stage, method, step in steps_of(prepared.config):
        display.stage(stage)
        bench.stage = stage
        torch.manual_seed(derive_seed(prepared.config["seed"], "step", stage))
        model = step(model, bench)
        if stage in rows:  # measured before the run was cut off
            continue
        log.info("%s: storing and measuring", stage)
        artifact.write(folder.model_file, make_permanent(model).state_dict(), description(prepared, stage))
        row = {
            "stage": stage,
            "method": method,
            **measured(prepared, data, folder, meter),
            "size_fp32_bytes": size_fp32,
        }
        row["compression_ratio"] = size_fp32 / row["size_bytes"]
        rows[stage] = {**row, **spent(folder, stage, meter)}
        append_row(folder.stages_file, rows[stage])
        log.info("%s: %s", stage, rows[stage])
    return finish(folder, list(rows.values()), meter)


def trainer(
    prepared: Prepared, data: Data, folder: RunFolder, meter: EnergyMeter, display: Progress
) -> Callable[[nn.Module, Recipe, str, int], nn.Module]:
    """The function by which the stages of this run train."""

    def train(model: nn.Module, recipe: Recipe, stage: str, number: int) -> nn.Module:
        return fit(
            model,
            data,
            recipe,
            prepared.place,
            seed=derive_seed(prepared.config["seed"], "fit", number),
            checkpoint=Checkpoint(folder.path, str(number)),
            meter=meter,
            display=display,
            log=EpochLog(folder.epochs_file, stage, number),
        )

    return train


def measured(prepared: Prepared, data: Data, folder: RunFolder, meter: EnergyMeter) -> dict:
    """All measures of the stored model, and what measuring cost."""
    topk, batch_size = prepared.config["topk"], prepared.config["eval_batch_size"]
    with meter.phase() as used:
        row = measure(folder.model_file, data, prepared.place, topk=topk, batch_size=batch_size, trusted=True)
    if not math.isfinite(row["loss"]):
        raise RunError(f"the loss on the test split is {row['loss']}: lower optimizer.lr, or set clip_norm or warm-up")
    cost = {"duration_s": used.duration_s, "energy_kwh": used.energy_kwh, "co2eq_g": used.co2eq_g}
    return row | {f"evaluate_{key}": value for key, value in cost.items()}


def spent(folder: RunFolder, stage: str, meter: EnergyMeter) -> dict:
    """Time, energy, CO2 and peak memory of a stage's trainings, from its epochs, those before an interruption too."""
    rows = [row for row in read_rows(folder.epochs_file) if row["stage"] == stage]
    keys = ("duration_s", "energy_kwh", "co2eq_g")
    peaks = [row["memory_peak_bytes"] for row in rows]
    return {
        "epochs": len(rows),
        **({key: add(row[key] for row in rows) for key in keys} if rows else nothing(meter)),
        "memory_peak_bytes": max(peaks) if peaks and None not in peaks else None,
    }


def nothing(meter: EnergyMeter) -> dict:
    """What a stage without training spent: nothing, if somebody looked."""
    known = set(meter.sources().values()) != {"unavailable"}
    return {"duration_s": 0.0, "energy_kwh": 0.0 if known else None, "co2eq_g": 0.0 if known else None}


def total(folder: RunFolder, rows: list[dict], meter: EnergyMeter) -> dict:
    """Sums over all stages and their evaluation, and what the energy figures rest on.

    With `resumed` above 0 the sums leave out what was lost to the interruptions: epochs that were cut off.
    """
    keys = ("duration_s", "energy_kwh", "co2eq_g")
    sums = {key: add(row[part + key] for row in rows for part in ("", "evaluate_")) for key in keys}
    return {
        "epochs": sum(row["epochs"] for row in rows),
        **sums,
        "resumed": folder.run["resumed"],
        "source": meter.sources(),
        "energy": meter.describe(),
    }


def end(folder: RunFolder, status: str, reason: str) -> None:
    """Record how a run ended, as well as a full disk allows."""
    log.info("%s: %s", status, reason)
    with suppress(RunError):
        folder.end(status, reason)


def add(values: Iterable[float | None]) -> float | None:
    """A sum, unknown if a part is unknown."""
    values = list(values)
    return None if None in values else sum(values)


def finish(folder: RunFolder, rows: list[dict], meter: EnergyMeter) -> dict:
    """Write what a finished run leaves behind; returns what ``result.json`` holds."""
    from effdl.report.curves import curves  # matplotlib takes long to import

    if epochs := read_rows(folder.epochs_file):
        write_atomic(folder.curves_file, curves(epochs, str(folder.path)))
    for path in folder.path.glob("checkpoint.*.previous.pt"):
        path.unlink()
    result = {"stages": rows, "total": total(folder, rows, meter)}
    write_json(folder.result_file, result)
    folder.end(DONE)
    return result
