"""Colour and shape of every method, the same in the pictures and on the page."""

# Okabe and Ito's palette for the colour-blind (2008), without black and yellow, then two of Paul Tol's (2021).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#882255", "#999933")
SHAPES = ("circle", "square", "triangle", "plus", "cross", "wedge", "star")  # 7 and 8: 56 methods look different
BASELINE = ("#777777", "diamond")


def kind(row: dict) -> str:
    """The stage and method of a row, as legends name it."""
    return "dense" if row["dense"] else f"{row['stage']}: {row['method']}"


def marks(rows: list[dict]) -> dict[str, tuple[str, str]]:
    """Colour and shape by `kind`, dense baselines first."""
    kinds = sorted({kind(row) for row in rows if not row["dense"]})
    styles = {name: (COLOURS[i % len(COLOURS)], SHAPES[i % len(SHAPES)]) for i, name in enumerate(kinds)}
    return ({"dense": BASELINE} if any(row["dense"] for row in rows) else {}) | styles
