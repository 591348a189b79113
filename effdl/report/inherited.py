"""Models that runs began with or learned from, and what these had cost: no result is cheaper for a model that was
there, unless this is said. Standard library only.
"""

from collections.abc import Iterable, Sequence

from effdl.report.gather import Run
from effdl.utils.files import sha256_of


def inherited(runs: Sequence[Run]) -> list[dict | None]:
    """For each model that these runs used, at any remove, and that none of them made: the sums of the run that made it.

    None for a file of another origin, or of a run that does not tell.
    """
    used = dict(_used(runs))
    own = {sha256_of(run.files.model_file) for run in runs if run.files.model_file.is_file()} if used else ()
    return [total for digest, total in used.items() if digest not in own]


def _used(runs: Iterable[Run]) -> Iterable[tuple[str, dict | None]]:
    """Digest and costs of all models that runs name, and of those that these were made of."""
    waiting = [run.run.get("models") for run in runs]
    while waiting:
        for model in (waiting.pop() or {}).values():
            yield model["sha256"], model.get("total")
            waiting.append(model.get("models"))
