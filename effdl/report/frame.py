"""The results of runs as a pandas DataFrame."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from effdl.report.formats import flat
from effdl.report.gather import gather, rows
from effdl.report.scoring import scored
from effdl.utils.errors import UserError

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger(__name__)


def results(*folders: str | Path) -> "DataFrame":
    """All runs in folders, at any depth.

    Args:
        folders: run folders, or folders that hold some.

    Returns:
        One row per run and measured stage, in the order of the folders' paths; a run that measured none has one row
        without a stage. Columns are those of ``effdl report --format csv``, in stored units: the keys of
        ``stages.jsonl``, ``config.KEY`` for what differs among the runs, totals and scores. Whole numbers, numbers,
        truth values and texts have the nullable types of pandas; what was not measured is ``pandas.NA``. Damaged
        folders are left out with a warning.

    Raises:
        UserError: pandas is not installed, or a folder is not there.

    Example:
        >>> effdl.results("outputs").groupby("method")["top1"].mean()
    """
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise UserError("effdl.results needs pandas: pip install 'effdl[pandas]'") from error
    try:
        found = gather([Path(folder) for folder in folders])
    except FileNotFoundError as error:
        raise UserError(f"{error}: there is no such folder") from error
    for path, reason in found.damaged:
        log.warning("%s is left out: %s", path, reason)
    return DataFrame([flat(row) for row in scored(rows(found.runs), found.runs)]).convert_dtypes()
