"""The answer of a search for people: asked, predicted, measured, verdict; and the trials against each other."""

from collections.abc import Mapping

from effdl.measure.metrics import Metric, metric
from effdl.measure.pareto import MAX, MIN, front
from effdl.runs.folder import RunFolder
from effdl.search.choices import FLOAT
from effdl.search.goal import ACCURACIES, ANSWERS, LATENCY_PART, STRUCTURE, WEIGHTS, Bound, Goal, column
from effdl.search.trial import Trial
from effdl.search.trials import Trials
from effdl.utils.table import Column, Table


def line_of(trial: Trial, goal: Goal) -> str:
    """One trial in a line."""
    plan = f"filters {100 * trial.plan.filters:.4g} %" if trial.plan.filters else "all filters"
    if trial.plan.layers:
        plan += f", weights to {metric('size_bytes').text(trial.plan.predicted['size_bytes'])}"
    if trial.plan.int8:
        plan += ", int8"
    elif trial.plan.activations != FLOAT:
        alike = {choice.bits for choice in trial.plan.layers.values()} == {trial.plan.activations}
        plan += f", {'all' if alike else 'inputs'} of {trial.plan.activations} bits"
    if trial.plan.longer:
        plan += ", trained longer"
    if not trial.row:
        return f"{trial.name}: {plan}: {'impossible' if trial.refused else 'failed'}: {trial.reason}"
    values = ", ".join(f"{metric(key).heading} {metric(key).text(trial.row.get(column(key)))}" for key in goal.keys)
    return f"{trial.name}: {plan}: {values}: {'holds' if trial.holds else 'misses ' + goal.worst(trial.row).key}"


def answer_table(trials: Trials, dense: Mapping, test: Mapping) -> Table:
    """What was asked of the best model, or of the nearest one, and what it has.

    Args:
        dense: row of the dense model.
        test: the whole row of the shown model, with what the test split says; it is for reading.
    """
    goal, shown = trials.goal, trials.best or trials.nearest
    names = ("", "asked", "dense model", "predicted", "measured", "verdict")
    columns = [Column(name, right=0 < place < 5) for place, name in enumerate(names)]
    rows = [_row(bound.key, bound, shown, dense) for bound in goal.bounds]
    if goal.objective not in {bound.key for bound in goal.bounds}:
        rows.append(_row(goal.objective, None, shown, dense))
    for key in ANSWERS:
        if test.get(key) is not None and any(column(key) == column(bound.key) for bound in goal.bounds):
            rows.append([metric(key).name + ", test", "", "", "", metric(key).text(test[key]), "for reading"])
    state = "best" if trials.best else "nearest"
    title = f"{state} of {len(trials.models)} models, {shown.name}, chosen by the validation split"
    return Table(columns, rows, title, constants=False)


def front_table(trials: Trials, dense: Mapping) -> Table:
    """The models of a front, each with both objectives, as they were predicted too, and what the test split says.

    Args:
        dense: row of the dense model.
    """
    goal = trials.goal
    cost, answer = metric(goal.objective), metric(column(goal.against))
    test = metric(goal.against)
    headings = (answer.heading, "predicted", f"{test.heading}, test", cost.heading, "predicted")
    columns = [Column("model"), *(Column(heading, right=True) for heading in headings)]
    rows = [["dense", *_pair(answer, dense, {}), "", *_pair(cost, dense, {})]]
    for trial in trials.front:
        read = RunFolder(trial.folder).result["stages"][-1][test.key]
        told = trial.plan.predicted if answer.key in map(column, ACCURACIES) else {}  # losses are those before training
        costs = _pair(cost, trial.row, trial.plan.predicted)
        rows.append([trial.name, *_pair(answer, trial.row, told), test.text(read), *costs])
    title = f"front of {len(trials.models)} models, by the validation split; the test split is for reading"
    return Table(columns, rows, title, constants=False)


def _pair(entry: Metric, row: Mapping, predicted: Mapping) -> list[str]:
    """A metric of a model as measured, and as predicted; latencies as they were measured in turns, if they were."""
    if entry.key == "latency_ms":
        return [_part(values) for values in (row, predicted)]
    return [entry.text(row.get(entry.key)), entry.text(predicted.get(entry.key))]


def _row(key: str, bound: Bound | None, shown: Trial, dense: Mapping) -> list[str]:
    """A line of the answer."""
    at = bound.column if bound else column(key)
    if at == LATENCY_PART:
        return _part_row(bound, shown)
    entry = metric(key)
    asked = f"{'>=' if entry.better == MAX else '<='} {entry.text(bound.value)}" if bound else "best"
    excess = bound.excess(shown.row) if bound else 0.0
    verdict = "" if bound is None else "holds" if excess <= 0 else "MISSED"
    predicted = None if key == "loss" else shown.plan.predicted.get(at)  # it is the loss before training
    return [metric(at).name, asked, *map(entry.text, (dense.get(at), predicted, shown.row.get(at))), verdict]


def _part_row(bound: Bound, shown: Trial) -> list[str]:
    """The line of a bound that is a part of the dense model's latency."""
    predicted, measured = (_part(values) for values in (shown.plan.predicted, shown.row))
    verdict = "holds" if bound.excess(shown.row) <= 0 else "MISSED"
    return ["latency, 1 image, in turns", f"<= {bound.value:g} x dense", "1 x dense", predicted, measured, verdict]


def _part(values: Mapping) -> str:
    """A latency as a part of the dense model's."""
    part = values.get(LATENCY_PART)
    return "-" if part is None else f"{part:.2f} x dense"


def scatter(trials: Trials) -> dict | None:
    """The trials as `effdl.sweep.front` draws them: a cost against an accuracy; None if fewer than two are measured."""
    goal = trials.goal
    costs = [key for key in (goal.objective, *(bound.key for bound in goal.bounds)) if key in (*WEIGHTS, *STRUCTURE)]
    answers = [column(bound.key) for bound in goal.bounds if bound.key in ANSWERS] or [column("top1")]
    for key in (goal.objective, goal.against):
        answers = [column(key)] if key in ANSWERS else answers
    keys = [answers[0], costs[0]]
    rows = [
        {"trial": number, "values": {key: trial.row[key] for key in keys}}
        for number, trial in enumerate(trials.found, 1)
        if all(trial.row.get(key) is not None for key in keys)
    ]
    if len(rows) < 2:
        return None
    ways = [metric(key).better for key in keys]
    points = [[row["values"][key] for key in keys] for row in rows]
    names = {trial.name for trial in trials.front} if goal.against else set()
    held = [row["trial"] for row in rows if trials.found[row["trial"] - 1].name in names]
    words = {MIN: "minimize", MAX: "maximize"}
    return {
        "objectives": {key: words[way] for key, way in zip(keys, ways, strict=True)},
        "bounds": {bound.column: bound.value for bound in goal.bounds},
        "trials": rows,
        "best": held or [rows[place]["trial"] for place in front(points, ways)],
    }
