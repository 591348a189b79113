"""The interval of a proportion that was counted, which says how little a few images tell. Standard library only."""

import math
from statistics import NormalDist

_CONFIDENCE = 0.95


def wilson(count: int, total: int) -> tuple[float, float]:
    """Lower and upper end of the 95 % score interval of a proportion (Wilson 1927, JASA 22(158), equation 4).

    Args:
        count: how many of the `total` (above 0) have the property.
    """
    z = NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)
    share, spread = count / total, z * z / total
    center = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return max(0.0, center - half), min(1.0, center + half)
