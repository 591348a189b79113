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
    used: dict[str, dict | None] = {}
    for digest, total in _used(runs):
        used[digest] = used.get(digest) or total
    own = {digest for run in runs for digest in _made(run)} if used else set()
    return [total for digest, total in used.items() if digest not in own]


def _made(run: Run) -> list[str]:
    """The digests of a run's models, as its stages say; of runs that are older than this, that of its file."""
    recorded = [row["model_sha256"] for row in run.stages if row.get("model_sha256")]
    file = run.files.model_file
    return recorded or ([sha256_of(file)] if file.is_file() else [])


def _used(runs: Iterable[Run]) -> Iterable[tuple[str, dict | None]]:
    """Digest and costs of all models that runs name, and of those that these were made of."""
    waiting = [run.run.get("models") for run in runs]
    while waiting:
        for model in (waiting.pop() or {}).values():
            yield model["sha256"], model.get("total")
            waiting.append(model.get("models"))
