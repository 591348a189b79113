"""Feature maps and tokens as one vector per image."""

from torch import Tensor


def pooled(x: Tensor, *, channels_last: bool) -> Tensor:
    """The mean over all positions, (n, D).

    Args:
        x: (n, D), a map (n, D, H, W), or with `channels_last` tokens (n, L, D) or a map (n, H, W, D).
    """
    if x.ndim == 2:
        return x
    return x.flatten(1, -2).mean(1) if channels_last else x.flatten(2).mean(2)
