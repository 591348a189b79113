"""SimCLR: the two views of an image are more alike than any two of the other images of the batch."""

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
def simclr(
    model: nn.Module,
    data: Data,
    *,
    views: Callable,
    hidden: Count = 512,
    dim: Count = 128,
    temperature: Positive = 0.5,
) -> Pretext:
    """Minimize NT-Xent, the cross entropy of the other view among all other views of the batch by cosine similarity.

    Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations", equation 1. Larger
    batches have more images to tell apart. Projections are an MLP's with one hidden layer.

    Args:
        hidden, dim: units of the projector's hidden layer and of its output.
        temperature: by which similarities are divided.
    """
    head, loss = from_lightly("models.modules.heads", "SimCLRProjectionHead"), from_lightly("loss", "NTXentLoss")
    width = feature_width(model)
    shape = view_shape(views, data.input_shape)
    return Pretext(
        lambda _: Contrast(shape, head(width, hidden, dim), loss(temperature)),
        views,
    )
