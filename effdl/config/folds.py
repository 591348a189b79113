"""``dataset.fold=all``: a cross-validation, whose folds are one run each. Pure functions on plain values."""

from collections.abc import Mapping

from effdl.config.annotations import show
from effdl.utils.errors import UserError

FOLD, FOLDS = "dataset.fold", "dataset.folds"
ALL = f"{FOLD}=all"


def all_folds(dataset: Mapping) -> range:
    """The numbers of the folds if a data set's node asks for all of them; empty if it does not.

    Raises:
        UserError: it does not say how many there are.
    """
    if dataset.get("fold") != "all":
        return range(0)
    folds = dataset.get("folds")
    if type(folds) is not int or folds < 2:
        raise UserError(f"{ALL} needs the number of folds: {FOLDS}={show(folds)} (allowed: a whole number >= 2)")
    return range(folds)
