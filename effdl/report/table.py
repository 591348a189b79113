"""Tables for people: the stages of a run side by side, and a model layer by layer."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from effdl.measure.metrics import (
    COSTS,
    KEPT,
    METRICS,
    STAGE,
    Metric,
    accuracies,
    layer_metric,
    metric,
    on_measuring,
    on_validation,
)
from effdl.measure.units import TEXT, percent
from effdl.report.counts import counted
from effdl.utils.table import ALWAYS, Column, Table

if TYPE_CHECKING:
    from effdl.measure.confusion import ClassAccuracy

# The rows of a run's table, below the accuracies.
ROWS = [key for key, entry in METRICS.items() if {*STAGE} <= {*entry.at} and not (entry.detail or accuracies([key]))]
_LAYER_COLUMNS = (
    *("params", "params_nonzero", "weight_sparsity", "weight_bits", "activation_bits", "macs", "macs_nonzero"),
    *("size_bytes", "share_of_size"),
)

_MANY_CLASSES = 40  # more are not shown one by one


def metric_column(shown: Metric) -> Column:
    """The column of a metric."""
    is_text = shown.unit is TEXT
    wanted = KEPT.index(shown.key) + 1 if shown.key in KEPT else 0
    return Column(shown.heading, right=not is_text, wraps=is_text, wanted=ALWAYS if shown.key == KEPT[-1] else wanted)


def known_rows(stages: list[dict]) -> Iterator[tuple[str, list[str]]]:
    """Label and cells of every metric that a stage has, one cell per stage; an unknown value is a dash.

    A user's own metrics, which the registry does not know, come last.
    """
    about = ("stage", "method")
    keys = dict.fromkeys(key for row in stages for key in row)
    own = [key for key in keys if not metric(key).at and key not in about]
    tested = accuracies(stages[0])
    measuring = map(on_measuring, COSTS[:2])
    for key in [*tested, *map(on_validation, tested[:1]), *ROWS, *measuring, *own]:
        shown, values = metric(key), [stage.get(key) for stage in stages]
        if any(value is not None for value in values):
            yield shown.label, [counted(shown.text(stage.get(key)), key, stage) for stage in stages]


def stages_table(stages: list[dict], title: str, split: str = "test") -> Table:
    """One column per stage, dense first; an unknown value is a dash, a row without values is left out."""
    columns = [Column(f"{split} split", wraps=True), *(Column(stage["stage"], right=True) for stage in stages)]
    return Table(columns, [(label, *cells) for label, cells in known_rows(stages)], title, constants=False)


def layers_table(rows: list[dict]) -> Table:
    """One row per weight layer."""
    shown = [layer_metric(key) for key in _LAYER_COLUMNS]
    columns = [Column("layer", wraps=True), Column("type"), Column("shape"), *map(metric_column, shown)]
    texts = []
    for row in rows:
        numbers = (entry.text(row[key]) for key, entry in zip(_LAYER_COLUMNS, shown, strict=True))
        texts.append([row["name"], row["type"], "x".join(map(str, row["shape"])), *numbers])
    return Table(columns, texts, "Layers")


def images_table(labels: dict[str, list[int]], names: Sequence[str], title: str) -> Table:
    """One row per class: its images in each split; with many classes those with the fewest and the most, then all.

    Args:
        labels: of the images of every split, by its name.
        names: of the classes, in order.
    """
    counts = {split: Counter(found) for split, found in labels.items()}
    first = next(iter(counts.values()))
    shown = range(len(names))
    if len(names) > _MANY_CLASSES:
        by_images = sorted(shown, key=lambda label: first[label])
        shown = [*by_images[: _MANY_CLASSES // 2], *by_images[-(_MANY_CLASSES // 2) :]]
        title += f" (the {len(shown)} with the fewest and the most training images are shown)"
    texts = [[names[label], *(f"{count[label]:,}" for count in counts.values())] for label in shown]
    texts.append(["all", *(f"{len(found):,}" for found in labels.values())])
    columns = [Column("class", wraps=True), *(Column(split, right=True) for split in labels)]
    return Table(columns, texts, title, constants=False)


def classes_table(found: "Sequence[ClassAccuracy]", names: Sequence[str]) -> Table:
    """One row per class, the worst recognized first: images, accuracy and what it is most often taken for."""
    top1 = metric("top1")
    columns = [
        Column("class", wraps=True),
        *(Column(heading, right=True) for heading in ("images", "right", top1.label)),
        Column("mistaken for", wraps=True),
    ]
    texts = []
    for label in sorted(range(len(found)), key=lambda label: found[label].correct / max(1, found[label].images)):
        images, correct, other = found[label]
        accuracy = top1.text(correct / images if images else None)
        mistaken = "-" if other is None else names[other]
        texts.append([names[label], f"{images:,}", f"{correct:,}", accuracy, mistaken])
    return Table(columns, texts, "Classes", constants=False)


def probe_table(rows: list[dict], title: str) -> Table:
    """One row per part of a network, as `effdl.runs.probe.probe` yields them."""
    keys = [key for key in rows[0] if key != "part"]
    texts = [[row["part"], *(metric(key).text(row[key]) for key in keys)] for row in rows]
    return Table([Column("part", wraps=True), *(metric_column(metric(key)) for key in keys)], texts, title)


def sensitivity_table(
    rows: list[dict], baseline: float, amounts: dict[str, float], bits: dict[str, int], title: str
) -> Table:
    """One row per layer, one column per level: the accuracy with that layer alone changed.

    Args:
        rows: as `sensitivity.analyse` yields them.
        baseline: top-1 of the unchanged model.
        amounts: by layer, what can be pruned of it; empty if this was not measured.
        bits: by layer, the fewest that it needs; empty as well.
    """
    changes = list(dict.fromkeys((row["change"], row["level"]) for row in rows))
    headings = [f"-{100 * level:g}%" if change == "prune" else f"{level:g} bits" for change, level in changes]
    headings += [*(["can lose"] if amounts else []), *(["needs"] if bits else [])]
    found = {(row["layer"], row["change"], row["level"]): row["top1"] for row in rows}
    texts = []
    for layer in dict.fromkeys(row["layer"] for row in rows):
        cells = [f"{100 * found[layer, *change]:.1f}" for change in changes]
        cells += [f"{100 * amounts[layer]:g} %"] if amounts else []
        cells += [f"{bits[layer]} bits"] if bits else []
        texts.append([layer, *cells])
    columns = [Column("layer", wraps=True), *(Column(heading, right=True) for heading in headings)]
    return Table(columns, texts, f"{title} ({percent(baseline)} unchanged)", constants=False)
