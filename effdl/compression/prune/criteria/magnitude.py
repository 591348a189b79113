"""The magnitude criterion: the weights of smallest magnitude are pruned.

Han, Pool, Tran & Dally 2015, "Learning both Weights and Connections for Efficient Neural Networks", section 3; with
one threshold for the whole network it is the "global magnitude" of Blalock et al. 2020, section 5.
"""

from torch import Tensor, nn

from effdl.nn.layers import weights
from effdl.training.trainer import Trainer


def magnitude(model: nn.Module, trainer: Trainer) -> list[Tensor]:
    """``|w|`` of every weight."""
    return [getattr(module, name).detach().abs() for _, module, name in weights(model)]
