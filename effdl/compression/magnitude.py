"""Global magnitude pruning with fine-tuning.

Han, Pool, Tran & Dally 2015, "Learning both Weights and Connections for Efficient Neural Networks", section 3; the
threshold is one for the whole network ("global"), as in Blalock et al. 2020, section 2.3.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from effdl.bench import Bench
from effdl.compression.mask import Mask
from effdl.layers import weights
from effdl.types import Fraction, Natural, Positive


def magnitude(
    model: nn.Module, bench: Bench, *, level: Fraction | None, epochs: Natural | None, lr_scale: Positive
) -> nn.Module:
    """Zero the fraction `level` of all conv and linear weights, those of smallest magnitude, then fine-tune.

    Args:
        level: fraction of weights to zero, counted over all layers together.
        epochs: of fine-tuning, at `lr_scale` times the run's learning rate; None: half of the run's.
    """
    layers = list(weights(model))
    masks = keep_largest([getattr(module, name).detach() for _, module, name in layers], level)
    for (_, module, name), keep in zip(layers, masks, strict=True):
        parametrize.register_parametrization(module, name, Mask(keep))
    return bench.fit(model, epochs=epochs, lr_scale=lr_scale)


def keep_largest(tensors: list[Tensor], level: float) -> list[Tensor]:
    """Boolean masks, one per tensor, False at exactly ``round(level * total)`` elements of smallest magnitude.

    Of equal magnitudes the earlier ones go first, so the result does not depend on the machine.
    """
    magnitudes = torch.cat([tensor.abs().flatten() for tensor in tensors])
    keep = torch.ones_like(magnitudes, dtype=torch.bool)
    keep[magnitudes.argsort(stable=True)[: round(level * len(magnitudes))]] = False
    parts = keep.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
