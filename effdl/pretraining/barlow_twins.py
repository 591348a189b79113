"""Barlow Twins: the correlations between the dimensions of two views' projections become the identity."""

from collections.abc import Callable

from torch import nn

from effdl.config.types import Count, Positive
from effdl.data.build import Data
from effdl.models.features import feature_width
from effdl.pretraining.contrast import Contrast
from effdl.pretraining.library import from_lightly
from effdl.pretraining.method import Pretext, compares_views, pretraining_method
from effdl.pretraining.view_shape import view_shape


@pretraining_method(compares_views)
def barlow_twins(
    model: nn.Module,
    data: Data,
    *,
    views: Callable,
    hidden: Count = 512,
    dim: Count = 512,
    redundancy: Positive = 5e-3,
) -> Pretext:
    """Minimize the sum of (1 - c_ii)^2, and of c_ij^2 times `redundancy`, over the cross-correlation matrix c.

    Zbontar et al. 2021, "Barlow Twins", equations 1 and 2. The sum is over dim x dim numbers and large: lower learning
    rates than for labels.

    Args:
        hidden, dim: units of the projector's two hidden layers and of its output.
        redundancy: weight of the correlations between different dimensions, the paper's lambda.
    """
    head = from_lightly("models.modules.heads", "BarlowTwinsProjectionHead")
    loss, width = from_lightly("loss", "BarlowTwinsLoss"), feature_width(model)
    shape = view_shape(views, data.input_shape)
    return Pretext(
        lambda _: Contrast(shape, head(width, hidden, dim), loss(redundancy)),
        views,
    )
