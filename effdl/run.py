"""One run: train, measure, then each compression step, measuring after each, and save."""

import logging
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
from effdl.errors import RunError
from effdl.evaluate import measure
from effdl.files import append_row, read_rows, write_atomic, write_json, write_rows
from effdl.logs import logging_to
from effdl.measure.energy import EnergyMeter
from effdl.measure.memory import peak_memory
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
    with logging_to(folder.log_file, display.note):
        try:
            run(prepared, folder, meter, display)
            show_result(folder, console)
            return 0
        except KeyboardInterrupt:
            display.stop([])
            end(folder, INTERRUPTED, "by the user")
            console.print(
                f"interrupted; to continue: effdl train resume={folder.path}", highlight=False, soft_wrap=True
            )
            raise
        except (RunError, torch.OutOfMemoryError) as error:
            display.stop([])
            end(folder, FAILED, str(error))
            console.print(f"effdl: {error}", style="red", highlight=False, soft_wrap=True)
            return 1
        except BaseException as error:
            display.stop([])
            log.exception("the run failed")
            end(folder, FAILED, repr(error))
            raise


def run(prepared: Prepared, folder: RunFolder, meter: EnergyMeter, display: Progress) -> dict:
    """Train, measure, then each compression step, measuring after each; returns what ``result.json`` holds."""
    data = on_device(prepared.data, prepared.place.device)
    threads = folder.run.get("threads", torch.get_num_threads())
    if threads != torch.get_num_threads():
        log.warning("it ran on %s threads before: the result will not be bit-identical", threads)
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
        with peak_memory(prepared.place.device) as memory:
            model = step(model, bench)
        if stage in rows:  # measured before the run was cut off
            continue
        log.info("%s: storing and measuring", stage)
        artifact.write(folder.model_file, make_permanent(model).state_dict(), description(prepared))
        row = {
            "stage": stage,
            "method": method,
            **measured(prepared, data, folder, meter),
            "size_fp32_bytes": size_fp32,
        }
        row["compression_ratio"] = size_fp32 / row["size_bytes"]
        rows[stage] = {**row, "memory_peak_bytes": memory.bytes, "memory_source": memory.source, **spent(folder, stage)}
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
    cost = {"duration_s": used.duration_s, "energy_kwh": used.energy_kwh, "co2eq_g": used.co2eq_g}
    return row | {f"evaluate_{key}": value for key, value in cost.items()}


def spent(folder: RunFolder, stage: str) -> dict:
    """Time, energy and CO2 of a stage's trainings, from its epochs (those before an interruption included)."""
    rows = [row for row in read_rows(folder.epochs_file) if row["stage"] == stage]
    return {
        "epochs": len(rows),
        **{key: add(row[key] for row in rows) for key in ("duration_s", "energy_kwh", "co2eq_g")},
    }


def total(rows: list[dict], meter: EnergyMeter) -> dict:
    """Sums over all stages and their evaluation, and what the energy figures rest on."""
    keys = ("duration_s", "energy_kwh", "co2eq_g")
    sums = {key: add(row[part + key] for row in rows for part in ("", "evaluate_")) for key in keys}
    return {"epochs": sum(row["epochs"] for row in rows), **sums, "source": meter.sources(), "energy": meter.describe()}


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
    result = {"stages": rows, "total": total(rows, meter)}
    write_json(folder.result_file, result)
    folder.end(DONE)
    return result
