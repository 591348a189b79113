"""A model among the images and classes of another one: a teacher beside its student."""

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from effdl.data.inputs import Inputs
from effdl.data.loader import normalize_again


def adapt(model: nn.Module, own: Inputs, given: Inputs) -> list[str]:
    """Let a model take the images of another one, normalized for that, and answer in its order of classes.

    By hooks, in place: the layers keep their names. Images of another size are resized (bilinear, antialiased).

    Args:
        own: what the model was trained on.
        given: what the other one is; it has the same classes and channels.

    Returns:
        What had to be done, in words.
    """
    done = []
    if own.image_size != given.image_size:
        done.append(f"images resized from {given.image_size} to {own.image_size} pixels")
    if (own.mean, own.std) != (given.mean, given.std):
        done.append("images normalized by its own mean and deviation")
    if done:
        model.register_forward_pre_hook(partial(_prepare, own, given))
    if own.classes != given.classes:
        model.register_forward_hook(partial(_reorder, own.order_of(given.classes)))
        done.append("classes brought into the order of the data set")
    return done


def _prepare(own: Inputs, given: Inputs, module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
    """What a model is given of images (n, C, H, W) that were prepared for another one."""
    (images,) = args
    if own.image_size != given.image_size:
        images = F.interpolate(images, size=2 * (own.image_size,), mode="bilinear", antialias=True)
    return (normalize_again(images, given, own),)


def _reorder(order: list[int], module: nn.Module, args: tuple[Tensor], logits: Tensor) -> Tensor:
    """The columns of logits (n, classes) in another order."""
    return logits[:, order]
