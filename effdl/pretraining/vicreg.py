"""VICReg: the views' projections are near, every dimension varies, and no two dimensions say the same."""

from collections.abc import Callable

from torch import nn

from effdl.config.types import Count, NonNegative
from effdl.data.build import Data
from effdl.models.features import feature_width
from effdl.pretraining.contrast import Contrast
from effdl.pretraining.library import from_lightly
from effdl.pretraining.method import Pretext, compares_views, pretraining_method
from effdl.pretraining.view_shape import view_shape


@pretraining_method(compares_views)
def vicreg(
    model: nn.Module,
    data: Data,
    *,
    views: Callable,
    hidden: Count = 512,
    dim: Count = 512,
    invariance: NonNegative = 25.0,
    variance: NonNegative = 25.0,
    covariance: NonNegative = 1.0,
) -> Pretext:
    """Minimize distance, lack of deviation and covariances, weighted.

    Bardes et al. 2022, "VICReg: Variance-Invariance-Covariance Regularization", equations 1 to 6.

    Args:
        hidden, dim: units of the projector's two hidden layers and of its output.
        invariance: weight of the mean squared distance of the views.
        variance: weight of what the deviations of the dimensions are below 1.
        covariance: weight of the squared covariances of different dimensions.
    """
    head = from_lightly("models.modules.heads", "VICRegProjectionHead")
    loss, width = from_lightly("loss", "VICRegLoss"), feature_width(model)
    shape = view_shape(views, data.input_shape)
    return Pretext(
        lambda _: Contrast(shape, head(width, hidden, dim), loss(invariance, variance, covariance)),
        views,
    )
