"""Tables for people: the stages of a run side by side, and a model layer by layer."""

from collections.abc import Iterator

from rich import box
from rich.table import Table

from effdl.measure.metrics import METRICS, STAGE, accuracies, layer_metric, metric, on_validation
from effdl.measure.units import percent

# The rows of a run's table, below the accuracies.
ROWS = [key for key, entry in METRICS.items() if {*STAGE} <= {*entry.at} and not (entry.detail or accuracies([key]))]
_LAYER_COLUMNS = (
    *("params", "params_nonzero", "weight_sparsity", "weight_bits", "activation_bits", "macs", "macs_nonzero"),
    *("size_bytes", "share_of_size"),
)


def known_rows(stages: list[dict]) -> Iterator[tuple[str, list[str]]]:
    """Label and cells of every metric that a stage has, one cell per stage; an unknown value is a dash.

    A user's own metrics, which the registry does not know, come last.
    """
    about = ("stage", "method")
    keys = dict.fromkeys(key for row in stages for key in row)
    own = [key for key in keys if not metric(key).at and key not in about]
    tested = accuracies(stages[0])
    for key in [*tested, *map(on_validation, tested[:1]), *ROWS, *own]:
        shown, values = metric(key), [stage.get(key) for stage in stages]
        if any(value is not None for value in values):
            yield shown.label, list(map(shown.text, values))


def stages_table(stages: list[dict], title: str, split: str = "test") -> Table:
    """One column per stage, dense first; an unknown value is a dash, a row without values is left out."""
    table = Table(title=title, title_justify="left")
    table.add_column(f"{split} split")
    for stage in stages:
        table.add_column(stage["stage"], justify="right")
    for label, cells in known_rows(stages):
        table.add_row(label, *cells)
    return table


def layers_table(rows: list[dict]) -> Table:
    """One row per weight layer."""
    table = Table(title="Layers", title_justify="left", box=box.SIMPLE, pad_edge=False)
    for column in ("layer", "type", "shape"):
        table.add_column(column, no_wrap=True)
    for key in _LAYER_COLUMNS:
        table.add_column(layer_metric(key).heading, justify="right")
    for row in rows:
        cells = [layer_metric(key).text(row[key]) for key in _LAYER_COLUMNS]
        table.add_row(row["name"], row["type"], "x".join(map(str, row["shape"])), *cells)
    return table


def sensitivity_table(rows: list[dict], baseline: float, amounts: dict[str, float], title: str) -> Table:
    """One row per layer, one column per level: the accuracy with that layer alone changed.

    Args:
        rows: as `sensitivity.analyse` yields them.
        baseline: top-1 of the unchanged model.
        amounts: by layer, what can be pruned of it.
    """
    table = Table(
        title=f"{title} ({percent(baseline)} unchanged)", title_justify="left", box=box.SIMPLE, pad_edge=False
    )
    table.add_column("layer", no_wrap=True)
    columns = list(dict.fromkeys((row["change"], row["level"]) for row in rows))
    for change, level in columns:
        table.add_column(f"-{100 * level:g} %" if change == "prune" else f"{level:g} bits", justify="right")
    if amounts:
        table.add_column("can lose", justify="right")
    found = {(row["layer"], row["change"], row["level"]): row["top1"] for row in rows}
    for layer in dict.fromkeys(row["layer"] for row in rows):
        cells = [f"{100 * found[layer, *column]:.1f}" for column in columns]
        table.add_row(layer, *cells, *([f"{100 * amounts[layer]:g} %"] if amounts else []))
    return table
