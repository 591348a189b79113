"""The numbers of a row under the names that all loggers give them."""


def scalars(prefix: str, row: dict) -> dict[str, float]:
    """``{"prune/top1": 0.97, ...}``: every measured number of a row; what is text, unknown or only a mark is left out.

    Args:
        prefix: ``epoch``, or the name of a stage.
    """
    numbers = {key: value for key, value in row.items() if isinstance(value, int | float)}
    marks = ("fit", "epoch")
    return {f"{prefix}/{key}": float(value) for key, value in numbers.items() if key not in marks}
