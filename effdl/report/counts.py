"""Counts beside percentages where few images were measured: ``33.33 %, 2 of 6 (10 to 70 %)``."""

from effdl.measure.metrics import images_key
from effdl.measure.wilson import wilson

_FEW = 100  # images; with more than that a percentage is no less than a count


def counted(text: str, key: str, row: dict) -> str:
    """The text of a row's value, followed by its count and 95 % interval if it is a share of few images."""
    value, images = row.get(key), row.get(images_key(key) or "")
    if value is None or not images or images >= _FEW:
        return text
    count = round(value * images)
    low, high = wilson(count, round(images))
    return f"{text}, {count} of {round(images)} ({100 * low:.0f} to {100 * high:.0f} %)"
