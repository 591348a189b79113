"""The features that a classifier computes: what enters its last layer."""

from torch import Tensor, nn

from effdl.models.surgery import last_layer
from effdl.nn.hooks import forward_hooks
from effdl.nn.layers import input_width
from effdl.nn.pooled import pooled


def features(model: nn.Module, images: Tensor) -> Tensor:
    """What enters the last layer of a model, with its graph.

    Args:
        images: normalized, float (n, C, H, W).

    Returns:
        (n, D); positions are averaged where the last layer is a convolution or is applied to tokens.
    """
    _, layer = last_layer(model)
    entering: list[Tensor] = []
    with forward_hooks([layer], lambda module, args: entering.append(args[0]), before=True):
        model(images)
    return pooled(entering[-1], channels_last=isinstance(layer, nn.Linear))


def feature_width(model: nn.Module) -> int:
    """The number D of features that `features` gives."""
    return input_width(last_layer(model)[1])
