"""Whether the files of a run folder belong together: nothing mixed up, changed or lost since they were written."""

from collections import Counter
from pathlib import Path

from effdl.runs.folder import DONE, RunFolder
from effdl.runs.records import EpochRow, LayerRow, StageRow, checked_rows
from effdl.utils.errors import UserError
from effdl.utils.files import sha256_of

_MARK_DIGITS = 16


def run_mark(key: str | None) -> dict[str, str]:
    """What a stored model's description says of its run."""
    return {} if key is None else {"run": key[:_MARK_DIGITS]}


def digests(folder: RunFolder) -> dict[str, str]:
    """SHA-256 of the files that the numbers in ``result.json`` were made from, by name."""
    files = (folder.stages_file, folder.layers_file, folder.epochs_file, folder.model_file)
    return {file.name: sha256_of(file) for file in files if file.exists()}


def verify(folder: RunFolder) -> tuple[dict, dict]:
    """Check that a run's files are those that it wrote. Runs of earlier layouts are checked for their shape only.

    Returns:
        What ``run.json`` and ``result.json`` say, the latter empty if the run is not done.

    Raises:
        UserError: names the file that is damaged, missing, changed, or of another run.
    """
    run = folder.run
    stages, layers, epochs = _read_all(folder)
    if run["status"] == DONE:
        return run, _verified_result(folder)
    if folder.key is not None:
        _verify_numbers(stages, epochs, "epochs", folder.epochs_file)
        _verify_order(folder, stages, epochs)
        _verify_numbers(stages, layers, "layers", folder.layers_file)
    return run, {}


def _read_all(folder: RunFolder) -> tuple[list[dict], list[dict], list[dict]]:
    """The rows of the stages, of their layers, and of the epochs: in this order, as the run may go on meanwhile.

    Raises:
        UserError: a row is damaged, missing, changed, or of another run.
    """
    return (
        checked_rows(folder.stages.read(), StageRow, folder.stages_file),
        checked_rows(folder.layers.read(), LayerRow, folder.layers_file),
        checked_rows(folder.epochs.read(), EpochRow, folder.epochs_file),
    )


def _verified_result(folder: RunFolder) -> dict:
    """What ``result.json`` says, if a finished run's files are as it says."""
    result = folder.result
    if not result:
        raise UserError(f"{folder.result_file} is missing, though the run is done")
    for name, digest in result.get("files", {}).items():
        file = folder.path / Path(name).name
        if not file.is_file():
            raise UserError(f"{file} is missing: the results were measured with it")
        if sha256_of(file) != digest:
            raise UserError(f"{file} was changed, or is of another run: it is not what the results were made from")
    return result


def _verify_numbers(stages: list[dict], rows: list[dict], what: str, file: Path) -> None:
    """Check that the epochs, or the layers, of all measured stages are there, of which their rows say the number."""
    found = Counter(row["stage"] for row in rows)
    for row in stages:
        if row[what] != found[row["stage"]]:
            lost = f"{found[row['stage']]} {what} of stage {row['stage']} instead of {row[what]}"
            raise UserError(f"{file} is damaged: it has {lost}")


def _verify_order(folder: RunFolder, stages: list[dict], epochs: list[dict]) -> None:
    """Check that all stages before the one that was trained last were measured."""
    earlier = list(dict.fromkeys(row["stage"] for row in epochs))[:-1]
    if {row["stage"] for row in stages}.issuperset(earlier):
        return
    measured = {row["stage"] for row in folder.stages.read()}  # once more: a run that goes on may have got there
    if lost := [stage for stage in earlier if stage not in measured]:
        raise UserError(f"{folder.stages_file} is damaged: it has no row of stage {lost[0]}, which others followed")


def verify_model(folder: RunFolder) -> None:
    """Check that the stored model of an unfinished run is its own, and the one that its stage's row was measured on.

    Raises:
        UserError: it is not.
    """
    from effdl.models.stored import read_description  # with torch, which reports do without

    key = folder.key
    if key is None or not folder.model_file.exists():
        return
    description = read_description(folder.model_file)
    if description.get("run") != run_mark(key)["run"]:
        raise UserError(f"{folder.model_file} is of another run than {folder.run_file}")
    stage = description.get("stage")
    measured = next((row for row in folder.stages.read() if row["stage"] == stage), None)
    if measured and measured.get("model_sha256") != sha256_of(folder.model_file):
        raise UserError(f"{folder.model_file} is not the model of stage {stage} that was measured")
