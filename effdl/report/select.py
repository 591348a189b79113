"""Which rows of a comparison are kept, in which order, and how seeds are averaged. Standard library only."""

import json
import operator
import re
from collections.abc import Callable, Iterable
from statistics import mean, stdev

from effdl.measure.units import typed
from effdl.report.gather import Run, named
from effdl.report.naming import SAMPLING, sample_of
from effdl.runs.folder import DONE
from effdl.utils.errors import UserError, nearest

_COMPARISONS: dict[str, Callable] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}


class Lookup:
    """The value of a row under a key: a metric, or a setting of the row's run.

    ``optimizer.lr`` and ``model`` are settings; ``config.epochs`` is one whose name a metric has too.

    Args:
        runs: those that the rows were made of, by `gather.rows`.
        short: other names for keys.
    """

    def __init__(self, runs: list[Run], rows: list[dict], short: dict[str, str]):
        self.runs, self.short = runs, short
        self.metrics = dict.fromkeys(key for row in rows for key in row if key != "config")
        self.settings = dict.fromkeys(key for run in runs for key in (*run.settings, *run.config))

    def resolve(self, key: str) -> str:
        """The full key.

        Raises:
            UserError: no row and no config has it.
        """
        full = self.short.get(key, key)
        if full in self.metrics or full.removeprefix("config.") in self.settings:
            return full
        known = [*self.short, *self.metrics, *self.settings]
        allowed = ", ".join([*self.short, *(name for name in self.metrics if name not in self.short.values())])
        hint = nearest(key, known)
        raise UserError(f"{key!r} is neither a column nor a config key{hint} (allowed: {allowed}, optimizer.lr ...)")

    def __call__(self, row: dict, key: str) -> object:
        """The value under a resolved key, None if the row has none."""
        if key in row:
            return row[key]
        run, key = self.runs[row["run"] - 1], key.removeprefix("config.")
        return run.settings.get(key, run.config.get(key))


def where(rows: list[dict], condition: str, lookup: Lookup) -> list[dict]:
    """The rows that meet ``KEY=VALUE``, ``KEY!=VALUE``, ``KEY<VALUE`` and so on; ``null`` is what was not measured.

    Raises:
        UserError: not of that form, or no such key.
    """
    match = re.fullmatch(r"([^<>=!]+)(<=|>=|!=|<|>|=)(.*)", condition)
    if not match:
        raise UserError(
            f"--where {condition}: allowed is KEY=VALUE, with one of {' '.join(_COMPARISONS)} in the middle"
        )
    key, sign, wanted = lookup.resolve(match[1].strip()), match[2], match[3].strip()
    return [row for row in rows if _meets(lookup(row, key), sign, wanted)]


def _meets(value: object, sign: str, wanted: str) -> bool:
    """Whether a value compares so with what was typed; less and greater need numbers on both sides."""
    if _is_number(value):
        try:
            return _COMPARISONS[sign](value, float(wanted))
        except ValueError:
            return sign == "!="
    texts = {str(value), typed(value), json.dumps(value)}
    return sign in ("=", "!=") and (wanted in texts) == (sign == "=")


def sort(rows: list[dict], by: str, lookup: Lookup) -> list[dict]:
    """The rows by a key, with a ``-`` before it descending; those without a value come last.

    Raises:
        UserError: no such key.
    """
    try:
        key = lookup.resolve(by.removeprefix("-"))
    except UserError as error:
        raise UserError(f"--sort {by}: {error}") from error
    known = [row for row in rows if lookup(row, key) is not None]
    unknown = [row for row in rows if lookup(row, key) is None]
    return sorted(known, key=lambda row: _order(lookup(row, key)), reverse=by.startswith("-")) + unknown


def _order(value: object) -> tuple:
    """Numbers before texts."""
    return (0, value, "") if isinstance(value, (int, float)) else (1, 0, str(value))


def last_stages(rows: list[dict]) -> list[dict]:
    """The last row of each run."""
    return list({row["run"]: row for row in rows}.values())


def group(rows: list[dict], runs: list[Run]) -> list[dict]:
    """One row for all seeds and folds of a config and stage.

    A number becomes its mean over them, ``KEY_std`` its sample standard deviation (None for one), and ``n`` is how many
    they are. A number that one of them lacks, and a text that differs among them, is None; ``folders`` has their
    folders, and ``run``, ``folder`` and ``config`` are the first one's. Runs of one seed and fold are one sample: the
    last one that is done (else the last that began) counts, and ``repeated`` has the folders of the others.
    """
    one_of_each = {run.experiment: run for run in runs}
    names = dict(zip(one_of_each, named(list(one_of_each.values()), without=SAMPLING), strict=True))
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((runs[row["run"] - 1].experiment, row["stage"]), []).append(row)
    return [{**_averaged(members, runs), "name": names[same]} for (same, _), members in groups.items()]


def _averaged(rows: list[dict], runs: list[Run]) -> dict:
    """The one row that stands for those of several seeds."""
    everything, rows = rows, _one_per_sample(rows, runs)
    first, folders = rows[0], [row["folder"] for row in rows]
    repeated = [row["folder"] for row in everything if row["folder"] not in folders]
    found: dict = {"n": len(rows), "folders": folders, "repeated": repeated}
    for key in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(key) for row in rows]
        if key in ("run", "folder", "config", "name"):
            found[key] = first[key]
        elif key == "seed":
            found[key] = first[key] if _same(values) else None
        elif all(_is_number(value) for value in values):
            found[key] = mean(values)
            found[f"{key}_std"] = stdev(values) if len(values) > 1 else None
        else:
            found[key] = values[0] if _same(values) else None
    return found


def _one_per_sample(rows: list[dict], runs: list[Run]) -> list[dict]:
    """Of the rows of each seed and fold the last one that is done, else the last that began."""

    def order(row: dict) -> tuple:
        run = runs[row["run"] - 1].run
        return row["status"] == DONE, run.get("started", "")

    def sample(row: dict) -> tuple:
        return sample_of(runs[row["run"] - 1].config)

    last = {sample(row): row for row in sorted(rows, key=order)}
    return [row for row in rows if row is last[sample(row)]]


def _is_number(value: object) -> bool:
    """Whether it can be averaged."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same(values: Iterable) -> bool:
    """Whether all are equal."""
    return len({repr(value) for value in values}) == 1
