"""One run: train, measure, then each compression step, measuring after each, and save."""

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import torch
from rich.console import Console

from effdl.compression.permanent import make_permanent
from effdl.distributed import Followed, ending_together, from_main, is_main, world_size
from effdl.errors import Hopeless, RunError, UserError
from effdl.files import read_rows, write_atomic, write_json, write_rows
from effdl.logs import logging_to
from effdl.measure.energy import EnergyMeter
from effdl.prepare import Prepared, describe, on_device
from effdl.provenance import provenance
from effdl.report.outcome import show_result
from effdl.report.progress import Progress
from effdl.results import COSTS, DONE, FAILED, INTERRUPTED, STOPPED, RunFolder
from effdl.steps import steps_of
from effdl.watchers import Watcher, Watchers, loggers_of
from effdl.work import Work, add, make_bench

log = logging.getLogger(__name__)


def carry_out(
    prepared: Prepared, folder: RunFolder, meter: EnergyMeter, console: Console, watchers: Iterable[Watcher] = ()
) -> int:
    """Run in a folder that `RunFolder.check_free` let pass, record how it ended, and return the exit code."""
    display = Progress(console)
    try:
        folder.claim(prepared.config)
    except (RunError, UserError) as error:  # another run's folder: nothing in it is touched
        console.print(f"effdl: {error}", style="red", highlight=False, soft_wrap=True)
        return 1
    with logging_to(folder.log_file, display.note):
        told = Watchers([*watchers, *loggers_of(prepared.config, folder.path)])
        try:
            with ending_together():
                run(prepared, folder, meter, display, told)
        except KeyboardInterrupt:
            display.stop([])
            end(folder, INTERRUPTED, "by the user")
            console.print(
                f"interrupted; to continue: effdl train resume={folder.path}", highlight=False, soft_wrap=True
            )
            raise
        except Hopeless as error:
            display.stop([])
            end(folder, STOPPED, str(error))
            console.print(f"stopped: {error}", highlight=False, soft_wrap=True)
            return 0
        except (RunError, UserError, torch.OutOfMemoryError) as error:
            display.stop([])
            end(folder, FAILED, str(error))
            if not isinstance(error, Followed):
                console.print(f"effdl: {error}", style="red", highlight=False, soft_wrap=True)
            return 1
        except BaseException as error:
            display.stop([])
            log.exception("the run failed")
            end(folder, FAILED, repr(error))
            raise
        finally:
            told.close(folder.run.get("status", FAILED))
    show_result(folder, console)
    return 0


def follow(prepared: Prepared, folder: RunFolder, meter: EnergyMeter, console: Console) -> int:
    """What the other processes do while the first one carries the run out: the same work, and no trace of it."""
    display = Progress(console)
    with logging_to(Path(os.devnull), display.note):
        run(prepared, folder, meter, display, Watchers())
    return 0


def run(prepared: Prepared, folder: RunFolder, meter: EnergyMeter, display: Progress, watchers: Watchers) -> dict:
    """Train, measure, then each compression step, measuring after each; returns what ``result.json`` holds."""
    data = on_device(prepared.data, prepared.place.device)
    sources = {"data_fingerprint": data.fingerprint, **provenance(prepared.place.device)}
    sources |= {"seed": prepared.config["seed"], "world_size": world_size()}
    if is_main():
        begin(prepared, folder, sources)
    display.note(describe(prepared))
    bench = make_bench(prepared, data, folder, meter, display, watchers)
    work = Work(prepared, data, folder, meter, display, watchers, bench)
    work.teach()
    model = prepared.model
    for stage, method, step in steps_of(prepared.config):
        model = work.carry_out(stage, method, step, model)
        if stage == "dense":
            work.bench.dense = make_permanent(model).eval().requires_grad_(False)
    return from_main(lambda: finish(folder, read_rows(folder.stages_file), meter))


def begin(prepared: Prepared, folder: RunFolder, provenance: dict) -> None:
    """Mark the run as running, and make good what an earlier process of it left."""
    folder.start(prepared.config, provenance)
    for file in (folder.stages_file, folder.layers_file):
        write_rows(file, read_rows(file))  # without a row that a kill cut short


def total(folder: RunFolder, rows: list[dict], meter: EnergyMeter) -> dict:
    """Sums over all stages and their evaluation, and what the energy figures rest on.

    With `resumed` above 0 the sums leave out what was lost to the interruptions: epochs that were cut off.
    """
    sums = {key: add(row[part + key] for row in rows for part in ("", "evaluate_")) for key in COSTS}
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
