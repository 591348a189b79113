"""Shape of every method and colour of every model or method, the same in the pictures and on the page."""

from collections.abc import Iterable
from itertools import cycle

# Okabe and Ito's palette for the colour-blind (2008), without black and yellow, then two of Paul Tol's (2021).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#882255", "#999933")
SHAPES = ("circle", "square", "triangle", "plus", "cross", "wedge", "star")  # 7 and 8: 56 methods look different
BASELINE = ("#777777", "diamond")


def kind(row: dict) -> str:
    """The stage and method of a row, as legends name it."""
    return "dense" if row["dense"] else f"{row['stage']}: {row['method']}"


def colours(models: Iterable[object]) -> dict[str, str]:
    """A colour for each of several models; none if there is one only: then methods have colours."""
    several = sorted({str(model) for model in models if model})
    return dict(zip(several, cycle(COLOURS), strict=False)) if len(several) > 1 else {}


def marks(rows: list[dict]) -> dict[str, tuple[str, str]]:
    """Colour and shape by `kind`, dense baselines first."""
    kinds = sorted({kind(row) for row in rows if not row["dense"]})
    styles = {name: (COLOURS[i % len(COLOURS)], SHAPES[i % len(SHAPES)]) for i, name in enumerate(kinds)}
    return ({"dense": BASELINE} if any(row["dense"] for row in rows) else {}) | styles
