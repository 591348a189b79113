"""The stored models that a run starts or learns from, as its ``run.json`` keeps them."""

from pathlib import Path

from effdl.compression.pipeline import steps_on
from effdl.measure.metrics import COSTS
from effdl.runs.folder import RunFolder
from effdl.utils.files import sha256_of


def origins(config: dict, typed_in: Path) -> dict[str, dict]:
    """Where the weights of a run come from, by the path that its config says.

    Args:
        typed_in: the folder that relative paths mean.

    Returns:
        For each path ``sha256`` of the model's file, and ``config``, ``data_fingerprint`` and ``models`` of the run
        that made it, and ``total``, what it cost; these are None for a file of another origin.
    """
    named = [config["model"].get("weights"), (config["teacher"] or {}).get("weights")]
    named += [node["level"] for _, node in steps_on(config)]
    found = {}
    for path in dict.fromkeys(value for value in named if isinstance(value, str)):
        folder = RunFolder(typed_in / path)
        file = folder.model_file if folder.path.is_dir() else folder.path
        if file.is_file():
            run = folder.run if folder.path.is_dir() else {}
            made = {key: run.get(key) for key in ("config", "data_fingerprint", "models")}
            total = folder.result.get("total") if folder.path.is_dir() else None
            made["total"] = total and {key: total.get(key) for key in COSTS}
            found[path] = {"sha256": sha256_of(file), **made}
    return found
