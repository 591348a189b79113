"""SimSiam: predict the projection of the other view; only the stopped gradient keeps it from collapsing."""

from collections.abc import Callable

from torch import nn

from effdl.config.types import Count
from effdl.data.build import Data
from effdl.models.features import feature_width
from effdl.pretraining.library import from_lightly
from effdl.pretraining.method import Pretext, compares_views, pretraining_method
from effdl.pretraining.predict import Predict
from effdl.pretraining.view_shape import view_shape


@pretraining_method(compares_views)
def simsiam(
    model: nn.Module,
    data: Data,
    *,
    views: Callable,
    hidden: Count = 512,
    dim: Count = 512,
    bottleneck: Count = 128,
) -> Pretext:
    """Minimize the negative cosine similarity of the prediction and the other view's projection.

    Chen & He 2021, "Exploring Simple Siamese Representation Learning", equations 1 to 4.

    Args:
        hidden, dim: units of the projector's two hidden layers and of its output.
        bottleneck: units of the predictor's hidden layer; the paper takes a quarter of `dim`.
    """
    heads, width = "models.modules.heads", feature_width(model)
    project, predict = from_lightly(heads, "SimSiamProjectionHead"), from_lightly(heads, "SimSiamPredictionHead")
    loss = from_lightly("loss", "NegativeCosineSimilarity")()
    shape = view_shape(views, data.input_shape)
    return Pretext(
        lambda trunk: Predict(trunk, shape, project(width, hidden, dim), predict(dim, bottleneck, dim), loss),
        views,
    )
