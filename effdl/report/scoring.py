"""The score columns of gathered rows: what `effdl.measure.scores` makes of a run's files. Standard library only."""

from effdl.measure.course import course_columns, pruned_params
from effdl.measure.dcase import RANKED_BY, dcase_columns, weighted_ranks
from effdl.measure.metrics import metric
from effdl.measure.scores import micronet_columns, reference_of
from effdl.measure.training_cost import training_cost_columns
from effdl.report.gather import Run

SCORES = ("course", "micronet", "dcase", "training_cost")


def scored(rows: list[dict], runs: list[Run]) -> list[dict]:
    """The rows of `gather.rows` with the columns of all scores: ``course_...``, ``micronet_...`` and so on."""
    layers = {number: _layers_of(run) for number, run in enumerate(runs, start=1)}
    found = []
    for row in rows:
        run = runs[row["run"] - 1]
        own, stages = layers[row["run"]].get(row["stage"], []), run.model_stages(row["stage"])
        dataset, pruned = run.settings.get("dataset"), pruned_params(stages)
        found.append(
            {
                **row,
                **course_columns(row, next(iter(stages), None), own, pruned=pruned, dataset=dataset),
                **micronet_columns(row, own, reference_of(str(dataset or ""))),
                **dcase_columns(row, own, _methods_until(run, row["stage"])),
                **training_cost_columns(row["total_duration_s"], row["total_energy_kwh"], _hardware(run), _price(run)),
            }
        )
    return found


def ranked(rows: list[dict]) -> list[dict]:
    """The rows with ``dcase_rank``: the weighted mean of their ranks among these rows (see `dcase.RANKED_BY`)."""
    entries = [[metric(key).cost(row.get(key)) for key in RANKED_BY] for row in rows]
    ranks = weighted_ranks(entries, list(RANKED_BY.values()))
    return [{**row, "dcase_rank": rank} for row, rank in zip(rows, ranks, strict=True)]


def _layers_of(run: Run) -> dict[str, list[dict]]:
    """The rows of ``layers.jsonl`` by stage; none if the file is missing."""
    found: dict[str, list[dict]] = {}
    for row in run.layers():
        found.setdefault(row["stage"], []).append(row)
    return found


def _methods_until(run: Run, stage: str | None) -> list[str]:
    """The methods applied up to a stage."""
    return [row["method"] for row in run.model_stages(stage)[1:]]


def _hardware(run: Run) -> str | None:
    """The GPU that a run used, else its processor with the number of threads."""
    parts = run.run.get("hardware") or {}
    if parts.get("gpu"):
        return parts["gpu"]
    return f"{parts['cpu']}, {run.run.get('threads')} threads" if parts.get("cpu") else None


def _price(run: Run) -> float | None:
    """What an hour costs, in USD, by the run's config; None if it does not say."""
    return (run.run["config"].get("energy") or {}).get("price_per_hour")
