"""Learning-rate schedules: pure functions from where training stands to a factor on the optimizer's `lr`.

`epoch` is fractional (2.5 is the middle of the third epoch), `epochs` the planned number, `losses` the validation
losses so far, oldest first. Nothing is stored, so a resumed run follows the same curve.
"""

import math
from collections.abc import Sequence

from effdl.config.types import Fraction, Natural, NonNegative, Positive, UnitInterval


def ramp(epoch: float, warmup: float) -> float:
    """Linear warm-up from 0 to 1 over `warmup` epochs (Goyal et al. 2017, section 2.2)."""
    return min(1.0, epoch / warmup) if warmup else 1.0


def constant(epoch: float, epochs: int, losses: Sequence[float], *, warmup: NonNegative = 0.0) -> float:
    """Always 1."""
    return ramp(epoch, warmup)


def step(
    epoch: float,
    epochs: int,
    losses: Sequence[float],
    *,
    milestones: list[Fraction] = (0.5, 0.75),
    gamma: Positive = 0.1,
    warmup: NonNegative = 0.0,
) -> float:
    """Multiply by `gamma` at each milestone, a fraction of the training (He et al. 2015: one half, three quarters)."""
    return ramp(epoch, warmup) * gamma ** sum(epoch >= milestone * epochs for milestone in milestones)


def cosine(
    epoch: float, epochs: int, losses: Sequence[float], *, final: UnitInterval = 0.0, warmup: NonNegative = 0.0
) -> float:
    """Half a cosine from 1 down to `final` (Loshchilov & Hutter 2017, equation 5), after the warm-up."""
    if epoch < warmup:
        return ramp(epoch, warmup)
    position = (epoch - warmup) / max(epochs - warmup, 1e-9)
    return final + (1 - final) * (1 + math.cos(math.pi * min(position, 1.0))) / 2


def one_cycle(
    epoch: float, epochs: int, losses: Sequence[float], *, peak: Fraction = 0.25, final: UnitInterval = 0.0
) -> float:
    """Linear up from 0 to 1 at `peak` (a fraction of the training) and down to `final` (Smith & Topin 2018)."""
    position = min(epoch / epochs, 1.0)
    if position < peak:
        return position / peak
    return final + (1 - final) * (1 - position) / (1 - peak)


def plateau(
    epoch: float,
    epochs: int,
    losses: Sequence[float],
    *,
    patience: Natural = 5,
    gamma: Positive = 0.1,
    warmup: NonNegative = 0.0,
) -> float:
    """Multiply by `gamma` whenever the validation loss has been above its lowest for more than `patience` epochs.

    As PyTorch's ``ReduceLROnPlateau`` does with ``threshold=0``. Without a validation split it is constant.
    """
    factor, best, waited = 1.0, math.inf, 0
    for loss in losses:
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        if waited > patience:
            factor, waited = factor * gamma, 0
    return ramp(epoch, warmup) * factor
