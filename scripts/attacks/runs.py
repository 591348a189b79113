"""Run folders to attack, and whether a run ended as one that nothing disturbed."""

import json
import re
from pathlib import Path

from attacks.commands import BASE, effdl, hurried
from attacks.outcome import typed
from attacks.sandbox import observe, workplace
from effdl.runs.folder import RunFolder
from effdl.runs.verify import verify
from effdl.utils.errors import UserError

CHAIN = (*BASE, "model.hidden=[8,8]", "epochs=3", "prune=0.5", "quantize=4")  # a run of three stages
_MOVING = re.compile("duration|kwh|co2|memory|latency|throughput|per_s$|^speed|^resumed$|^source$|^energy$|^seal$")
_OWN = (  # keys of run.json that say when, where, by which process and by which words
    *("status", "reason", "started", "ended", "resumed", "pid", "process_started", "host", "starts", "overrides"),
    *("typed_in", "seal"),
)
ROWS = ("epochs.jsonl", "stages.jsonl", "layers.jsonl")


def make(folder: Path, *arguments: str) -> Path:
    """The run of these arguments in a folder, whose parent is there; made if it is not there yet.

    Raises:
        RuntimeError: it failed.
    """
    if not folder.exists():
        with workplace() as place:
            act = effdl("train", *arguments, f"hydra.run.dir={folder.absolute()}", prepare=hurried)
            seen = observe(act, place)
        if seen.code:
            raise RuntimeError(f"{typed(*arguments)}: {seen.text}")
    return folder


def differences(folder: Path, reference: Path) -> list[str]:
    """In which files a finished run differs from one that nothing disturbed, times and energies left out."""
    found = []
    for name in ROWS:
        if _rows(folder / name) != _rows(reference / name):
            found.append(f"{name} is not that of an undisturbed run")
    for name, read in (("model.safetensors", _bytes), ("run.json", _run), ("result.json", _result)):
        try:
            here, there = read(folder / name), read(reference / name)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            found.append(f"{name}: {type(error).__name__}: {error}")
            continue
        if keys := [key for key in here.keys() | there.keys() if here.get(key) != there.get(key)]:
            found.append(f"{name} is not that of an undisturbed run: {', '.join(sorted(keys))}")
    try:
        verify(RunFolder(folder))
    except UserError as error:
        found.append(str(error))
    leftovers = [path.name for path in folder.iterdir() if path.name.endswith((".tmp", ".previous.pt"))]
    return found + [f"{name} is left over" for name in leftovers]


def _bytes(file: Path) -> dict:
    """The content of a file."""
    return {"bytes": file.read_bytes()}


def _run(file: Path) -> dict:
    """What run.json says of the experiment, and that it is done."""
    run = json.loads(file.read_bytes())
    own = {key: value for key, value in run.items() if key not in _OWN}
    config = {key: value for key, value in run["config"].items() if key != "resume"}
    return {"done": run["status"] == "done", **own, "config": config}


def _result(file: Path) -> dict:
    """What result.json says, without times and energies."""
    result = json.loads(file.read_bytes())
    return {"stages": [_fixed(row) for row in result["stages"]], "total": _fixed(result["total"])}


def _rows(file: Path) -> object:
    """The rows of a file without times and energies; what is wrong with it, if it cannot be read."""
    try:
        return [_fixed(json.loads(line)) for line in file.read_text().splitlines()]
    except (OSError, ValueError, AttributeError) as error:
        return f"{type(error).__name__}"


def _fixed(row: dict) -> dict:
    return {key: value for key, value in row.items() if not _MOVING.search(key)}
