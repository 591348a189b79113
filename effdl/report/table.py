"""Tables for people: the stages of a run side by side, and a model layer by layer."""

from collections.abc import Callable, Iterator

from rich import box
from rich.table import Table

UNKNOWN = "-"


def si(value: float, unit: str = "") -> str:
    """A number with three digits and an SI prefix: ``269 k``, ``1.81 G``."""
    value = float(f"{value:.3g}")  # before the prefix is chosen: 999,960 is 1 M
    for exponent, prefix in ((12, "T"), (9, "G"), (6, "M"), (3, "k"), (0, ""), (-3, "m"), (-6, "µ"), (-9, "n")):
        if abs(value) >= 10**exponent:
            return f"{value / 10**exponent:.3g} {prefix}{unit}".strip()
    return f"{value:.3g} {unit}".strip()


def percent(value: float) -> str:
    """A fraction as a percentage with two decimals."""
    return f"{100 * value:.2f} %"


def size(value: int) -> str:
    """Bytes in KB or MB (1,000 and 1,000,000 bytes)."""
    return f"{value / 1e6:,.2f} MB" if value >= 1e6 else f"{value / 1e3:,.1f} KB"


def milliseconds(value: float) -> str:
    """A latency with three digits."""
    return f"{value:,.0f} ms" if value >= 999.5 else f"{value:.3g} ms"


def watt_hours(kwh: float) -> str:
    """Energy in Wh with a prefix."""
    return si(1000 * kwh, "Wh")


def grams(value: float) -> str:
    """A mass with a prefix."""
    return si(value, "g")


# What a run's table shows: label, key in stages.jsonl, how it is written.
ROWS: list[tuple[str, str, Callable[[float], str]]] = [
    ("loss", "loss", "{:.4f}".format),
    ("parameters", "params", "{:,}".format),
    ("non-zero", "params_nonzero", "{:,}".format),
    ("sparsity", "sparsity", percent),
    ("weight sparsity", "weight_sparsity", percent),
    ("MACs", "macs", si),
    ("MACs non-zero", "macs_nonzero", si),
    ("bits per weight", "weight_bits", "{:.3g}".format),
    ("bits per activation", "activation_bits", "{:.3g}".format),
    ("bit operations", "bops", si),
    ("size on disk", "size_bytes", size),
    ("compression", "compression_ratio", "{:.2f} x".format),
    ("latency, 1 image", "latency_ms", milliseconds),
    ("runs in", "latency_runtime", str),
    ("throughput", "throughput_images_per_s", "{:,.0f} img/s".format),
    ("peak memory", "memory_peak_bytes", size),
    ("time", "duration_s", "{:.1f} s".format),
    ("energy", "energy_kwh", watt_hours),
    ("CO2eq", "co2eq_g", grams),
]


def tops(row: dict) -> list[str]:
    """The keys of the accuracies in a row, such as ``top1`` and ``top5``, in order."""
    return sorted((key for key in row if key.startswith("top") and key[3:].isdigit()), key=lambda key: int(key[3:]))


def measured_rows(stages: list[dict]) -> Iterator[tuple[str, list[str]]]:
    """Label and cells of every row that somebody measured, one cell per stage; what was not is a dash."""
    for label, key, write in [*((f"top-{key[3:]}", key, percent) for key in tops(stages[0])), *ROWS]:
        values = [stage.get(key) for stage in stages]
        if any(value is not None for value in values):
            yield label, [UNKNOWN if value is None else write(value) for value in values]


def stages_table(stages: list[dict], title: str, split: str = "test") -> Table:
    """One column per stage, dense first; what was not measured is a dash, and a row nobody measured is left out."""
    table = Table(title=title, title_justify="left")
    table.add_column(f"{split} split")
    for stage in stages:
        table.add_column(stage["stage"], justify="right")
    for label, cells in measured_rows(stages):
        table.add_row(label, *cells)
    return table


def layers_table(rows: list[dict]) -> Table:
    """One row per weight layer."""
    table = Table(title="Layers", title_justify="left", box=box.SIMPLE, pad_edge=False)
    for column in ("layer", "type", "shape"):
        table.add_column(column, no_wrap=True)
    for column in ("parameters", "non-zero", "zeros", "bits", "input bits", "MACs", "non-zero", "bytes", "of file"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row["name"],
            row["type"],
            "x".join(map(str, row["shape"])),
            f"{row['params']:,}",
            f"{row['params_nonzero']:,}",
            percent(row["weight_sparsity"]),
            f"{row['weight_bits']:.3g}",
            f"{row['activation_bits']:.3g}",
            si(row["macs"]),
            si(row["macs_nonzero"]),
            f"{row['size_bytes']:,.0f}",
            UNKNOWN if row["share_of_size"] is None else percent(row["share_of_size"]),
        )
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
