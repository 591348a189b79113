"""BYOL: predict what a slowly moving copy of the network makes of the other view."""

from collections.abc import Callable

from torch import nn

from effdl.config.types import Count, Fraction
from effdl.data.build import Data
from effdl.models.features import feature_width
from effdl.pretraining.library import from_lightly
from effdl.pretraining.method import Pretext, compares_views, pretraining_method
from effdl.pretraining.predict import Predict
from effdl.pretraining.view_shape import view_shape


@pretraining_method(compares_views)
def byol(
    model: nn.Module,
    data: Data,
    *,
    views: Callable,
    hidden: Count = 512,
    dim: Count = 128,
    momentum: Fraction = 0.99,
) -> Pretext:
    """Minimize the negative cosine similarity of prediction and target.

    Grill et al. 2020, "Bootstrap Your Own Latent", equation 2, whose distance is 2 + 2 x this.

    Args:
        hidden, dim: units of the hidden layer and of the output of projector and predictor.
        momentum: of the copy that makes the targets, at first; the paper's 0.996 is for 1,000 epochs of ImageNet.
    """
    heads, width = "models.modules.heads", feature_width(model)
    project, predict = from_lightly(heads, "BYOLProjectionHead"), from_lightly(heads, "BYOLPredictionHead")
    loss = from_lightly("loss", "NegativeCosineSimilarity")()
    shape = view_shape(views, data.input_shape)
    return Pretext(
        lambda trunk: Predict(
            trunk,
            shape,
            project(width, hidden, dim),
            predict(dim, hidden, dim),
            loss,
            momentum,
        ),
        views,
    )
