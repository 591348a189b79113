"""A run executed in its folder, which records how it ended."""

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import torch

from effdl.measure.energy import EnergyMeter
from effdl.runs.folder import DONE, FAILED, INTERRUPTED, STOPPED, Outcome, RunFolder
from effdl.runs.origins import origins
from effdl.runs.prepare import PreparedRun
from effdl.runs.provenance import provenance
from effdl.runs.runner import Runner
from effdl.runs.shared import SharedTrainings
from effdl.runs.verify import digests, verify, verify_model
from effdl.training.callbacks import Callbacks
from effdl.training.checkpoint import Checkpoint
from effdl.training.loggers import loggers_of
from effdl.utils.distributed import Followed, ending_together, from_main, is_main, world_size
from effdl.utils.errors import RunError, TrialPruned, UserError
from effdl.utils.logs import logging_to

log = logging.getLogger(__name__)


def execute(
    prepared: PreparedRun,
    folder: RunFolder,
    meter: EnergyMeter,
    callbacks: Iterable[object] = (),
    shared: SharedTrainings | None = None,
) -> Outcome:
    """Run in a folder that the caller owns (`RunFolder.owned`) and has checked (`check_resumable`).

    Args:
        shared: what other runs have trained that begin alike.

    Raises:
        KeyboardInterrupt: it was interrupted, which is recorded; so is any error that is a mistake of the program.
    """
    told = Callbacks([*callbacks, *loggers_of({**prepared.config, "logger": prepared.located["logger"]}, folder.path)])
    with logging_to(folder.log_file, told.message):
        try:
            with ending_together():
                _run(Runner(prepared, folder, meter, told, shared))
        except KeyboardInterrupt:
            _end(folder, INTERRUPTED, "by the user")
            raise
        except TrialPruned as error:
            _end(folder, STOPPED, str(error))
            return Outcome(STOPPED, str(error))
        except (RunError, UserError, torch.OutOfMemoryError) as error:
            _end(folder, FAILED, str(error))
            return Outcome(FAILED, str(error), told=isinstance(error, Followed))
        except BaseException as error:
            log.exception("the run failed")
            _end(folder, FAILED, repr(error))
            raise
        finally:
            told.run_end(folder.run.get("status", FAILED))
    return Outcome(DONE)


def follow(prepared: PreparedRun, folder: RunFolder, meter: EnergyMeter) -> None:
    """What the other processes do while the first one executes the run: the same work, and no trace of it."""
    with logging_to(Path(os.devnull), lambda text: None):
        _run(Runner(prepared, folder, meter))


def _run(run: Runner) -> None:
    """Run all stages, between the first and the last record of the run."""
    device = run.prepared.device.torch_device
    sources = {"data_fingerprint": run.prepared.data.fingerprint, **provenance(device)}
    sources |= {"models": origins(run.prepared.config, run.prepared.typed_in)}
    sources |= {"seed": run.prepared.config["seed"], "world_size": world_size()}
    sources |= {"typed_in": str(run.prepared.typed_in), "images": run.prepared.data.counts}
    if is_main():
        _begin(run, sources)
    run.run_stages()
    from_main(lambda: _finish(run))


def check_resumable(folder: RunFolder, config: dict) -> None:
    """Refuse a folder that is no longer free, or whose files are damaged beyond repair or of another run.

    Raises:
        UserError: names the file.
    """
    folder.check_free(config, bool(config["resume"]))
    if not folder.run:
        return
    verify(folder)
    verify_model(folder)
    for file in folder.path.glob("checkpoint.*.pt"):
        if (number := file.name.split(".")[1]).isdecimal():
            Checkpoint(folder.path, int(number), folder.key).check()


def _begin(run: Runner, sources: dict) -> None:
    """Mark the run as running, and make good what an earlier process of it left."""
    run.folder.start(run.prepared.config, sources, run.prepared.overrides)
    for rows in (run.folder.stages, run.folder.layers):
        rows.write(rows.read())  # without a row that a kill cut short


def _finish(run: Runner) -> None:
    """Write what a finished run leaves behind."""
    for path in run.folder.path.glob("checkpoint.*.previous.pt"):
        path.unlink()
    stages = run.folder.stages.read()
    verify_model(run.folder)
    run.folder.finish({"stages": stages, "total": run.total(), "files": digests(run.folder)})
    run.folder.end(DONE)


def _end(folder: RunFolder, status: str, reason: str) -> None:
    """Record how a run ended, as well as a full disk allows."""
    log.info("%s: %s", status, reason)
    with suppress(RunError):
        folder.end(status, reason)
