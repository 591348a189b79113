"""One job of a sweep, in whichever process the launcher starts it."""

import os
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from effdl.config.compose import plain_values, settings
from effdl.config.instantiate import allow_code_of
from effdl.config.validation import active, check_targets
from effdl.measure.costs import spent, sum_known
from effdl.measure.energy import energy_meter
from effdl.measure.metrics import COSTS, OF_PRETRAINING
from effdl.report.outcome import CurvesPicture
from effdl.runs.folder import DONE, FAILED, INTERRUPTED, RunFolder
from effdl.runs.verify import verify
from effdl.sweep.folder import JOBS_FILE, SKIPPED, JobLog
from effdl.utils.errors import UserError
from effdl.utils.files import write_atomic


def job(config: DictConfig) -> dict:
    """Execute a run and return ``{"status", "reason", "folder", "row"}``; a run that fails does not raise.

    ``row`` holds the measures of the last stage, what only a pretraining measures, and the totals of the run, in which
    ``copied`` were spent by another one, or is None.
    """
    hydra = HydraConfig.get()
    folder = RunFolder(hydra.runtime.output_dir)
    report = JobLog(Path(os.environ[JOBS_FILE]), hydra.job.num, list(hydra.overrides.task), folder.path)
    report.start()
    try:
        status, reason = _attempt(config, folder)
    except KeyboardInterrupt:
        report.end(_result(folder, INTERRUPTED, "by the user"))
        raise
    except Exception as error:  # its traceback is in train.log
        status, reason = FAILED, f"{type(error).__name__}: {error}"
    ended = _result(folder, status, reason)
    report.end(ended)
    return ended


def _result(folder: RunFolder, status: str, reason: str | None) -> dict:
    """What a job returns."""
    found = folder.result if status in (DONE, SKIPPED) else {}
    total = {f"total_{key}": value for key, value in spent(found["stages"]).items()} if found else {}
    total["copied"] = _copied(folder) if found else {}
    pretrained = next((row for row in found.get("stages", ()) if row["stage"] == "pretraining"), None)
    embedded = {key: pretrained[key] for key in OF_PRETRAINING} if pretrained else {}
    row = {**found["stages"][-1], **embedded, **total} if found else None
    return {"status": status, "reason": reason, "folder": str(folder.path), "row": row}


def _copied(folder: RunFolder) -> dict[str, dict[str, float]]:
    """What a run copied from others, by the folder of the other: the keys of its totals."""
    found: dict[str, list[dict]] = {}
    for row in folder.epochs.read():
        if "trained_in" in row:
            found.setdefault(str((folder.path / row["trained_in"]).resolve()), []).append(row)
    return {
        source: {f"total_{key}": sum_known(row.get(key) for row in rows) or 0.0 for key in COSTS}
        for source, rows in found.items()
    }


def _attempt(config: DictConfig, folder: RunFolder) -> tuple[str, str | None]:
    """Run, if there is something to do; returns the status and its reason. A sweep that is resumed waits its turn."""
    try:
        with folder.owned(wait=bool(config.get("resume"))):
            try:
                return _execute_run(config, folder)
            except UserError as error:
                if folder.run.get("status") in (None, FAILED):
                    folder.refuse(active(plain_values(config)), str(error))
                raise
    except UserError as error:
        return FAILED, str(error)


def _execute_run(config: DictConfig, folder: RunFolder) -> tuple[str, str | None]:
    """Run with nothing on the terminal: what launched the sweep shows it.

    Raises:
        UserError: something is wrong with the config, or the folder is not this run's.
    """
    for source in HydraConfig.get().runtime.config_sources:
        if source.provider == "command-line":
            allow_code_of(source.path)  # in a launcher's process it is not yet
    typed_in = Path(HydraConfig.get().runtime.cwd)
    plain = settings(config, typed_in)
    check_targets(plain)
    folder.check_free(plain, bool(plain["resume"]))
    if folder.run.get("status") == DONE:
        verify(folder)
        return SKIPPED, "done before"
    _keep_configs(config, folder)
    from effdl.runs.execute import check_resumable, execute
    from effdl.runs.prepare import prepare_run
    from effdl.runs.shared import SharedTrainings
    from effdl.sweep.gpu_lock import own_gpu

    with own_gpu(plain["device"]["name"], folder.path.parent):
        prepared = prepare_run(plain, list(HydraConfig.get().overrides.task), typed_in)
        folder.check_data(prepared.data.fingerprint)
        check_resumable(folder, plain)
        callbacks = [CurvesPicture(folder), *_sweeper_callbacks()]
        sources = HydraConfig.get().runtime.config_sources  # in a folder that is named by the digest of all of them
        code = [Path(source.path).parent.name for source in sources]
        shared = SharedTrainings(Path(HydraConfig.get().sweep.dir) / ".shared", code)
        outcome = execute(prepared, folder, energy_meter(plain), callbacks, shared)
    return outcome.status, outcome.reason


def _keep_configs(config: DictConfig, folder: RunFolder) -> None:
    """Write what Hydra would have written before the folder was owned (see `launch`)."""
    files = {"config": config, "hydra": {"hydra": HydraConfig.get()}, "overrides": HydraConfig.get().overrides.task}
    for name, value in files.items():
        (folder.path / ".hydra").mkdir(exist_ok=True)
        write_atomic(folder.path / ".hydra" / f"{name}.yaml", OmegaConf.to_yaml(value).encode())


def _sweeper_callbacks() -> list:
    """What the sweeper wants to be told."""
    hydra = HydraConfig.get()
    if "n_trials" not in hydra.sweeper:
        return []
    from effdl.sweep.optuna_sweeper import trial_pruner

    pruner = trial_pruner(hydra)
    return [pruner] if pruner else []
