"""``dataset.fold=all``: a sweep over all folds of a cross-validation, and what its jobs say of each config."""

from collections.abc import Mapping

from effdl.config.folds import ALL, FOLD, FOLDS, all_folds
from effdl.config.overrides import swept, without
from effdl.report.folds import CrossValidated
from effdl.report.naming import SAMPLING, SPLITTING
from effdl.sweep.table import label
from effdl.utils.errors import UserError


def with_all_folds(overrides: list[str], dataset: Mapping, *, grid: bool) -> list[str]:
    """The overrides with ``dataset.fold=all`` written out as the folds there are.

    Args:
        dataset: the node of the sweep's first job, which knows the number of folds.
        grid: whether the sweep runs every combination.

    Raises:
        UserError: that number is missing or is itself swept, or the sweep is no grid.
    """
    if dataset.get("fold") != "all":
        return overrides
    if any(override.get_key_element() == FOLDS for override in swept(overrides)):
        raise UserError(f"{ALL}: {FOLDS} has several values (allowed: one number of folds)")
    folds = all_folds(dataset)
    if not grid:
        raise UserError(f"{ALL}: all folds are run by a grid (allowed: hydra/sweeper=grid)")
    return [*without(overrides, FOLD), f"{FOLD}=range({len(folds)})"]


def cross_validated(jobs: list[dict], keys: list[str]) -> list[CrossValidated]:
    """The jobs of each config that measured something, with the fold of each; none if folds were not swept.

    Args:
        keys: those that are swept.
    """
    if FOLD not in keys:
        return []
    found: dict[str, list[tuple[object, dict]]] = {}
    others = [key for key in keys if key not in SAMPLING]
    for job in sorted((job for job in jobs if job.get("row")), key=lambda job: job["job"]):
        fold = label(job, [*SPLITTING])  # of another split_seed it is another fold
        found.setdefault(label(job, others), []).append((fold, job["row"]))
    return [CrossValidated(name, rows) for name, rows in found.items()]
