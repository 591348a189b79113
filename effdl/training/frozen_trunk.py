"""A last layer that learns alone is trained on features: the frozen trunk before it runs once, not in every epoch.

The features are kept on disk by the content of all that they depend on, so a second run, or one with another recipe,
need not compute them either. The layer is trained by the same loop, with the same draws: features are its images. Of
augmented images so many views are computed as the run says, and every epoch trains on a random one of each image.
"""

from dataclasses import dataclass, replace

import torch
from torch import nn

from effdl.data import feature_cache
from effdl.data.build import Data
from effdl.data.source import Images
from effdl.data.streamed import StreamedImages
from effdl.measure.eval_mode import eval_mode, example_input
from effdl.models.surgery import last_layer
from effdl.training.device import Device
from effdl.training.recipe import Recipe
from effdl.training.transfer import ALL_LEARN, Freezing
from effdl.training.trunk_features import TRIED, FrozenTrunk, Views, entering, pick
from effdl.utils.distributed import world_size
from effdl.utils.errors import UserError

_MOST_BYTES = feature_cache.LIMIT
_WHOLE = "the frozen layers run in every epoch: "


@dataclass(frozen=True)
class HeadTraining:
    """What `effdl.training.loop.fit` trains in place of a model whose last layer alone learns.

    Args:
        head: the model's own last layer, with the dropout before it, as a model of features (n, D, 1, 1).
        data: the features of the images (N, D, 1, 1); of views (N, views, D, 1, 1), of which `recipe` picks one a time.
        recipe: of the same training.
        flops: that were spent on computing those of the training split now.
    """

    head: nn.Module
    data: Data
    recipe: Recipe
    flops: float

    def __str__(self) -> str:
        once = "computed once" if self.flops else "found in the cache"
        views = f" of each of {self.data.train.images.shape[1]} views" if self.recipe.augment else " per image"
        return f"the last layer is trained on its {self.data.channels:,} features{views}, which were {once}"


def head_training(
    model: nn.Module, data: Data, recipe: Recipe, device: Device, *, seed: int = 0
) -> HeadTraining | str | None:
    """The training of a model's last layer on features; or why the whole model must run, as words; None if more learns.

    The features are computed here, unless they are cached.

    Args:
        seed: of the views.
    """
    if not _learns_alone(model, recipe):
        return None
    head = _obstacle(data, recipe) or _cut(device.move(model), recipe, data.input_shape)
    if isinstance(head, str):
        return f"{_WHOLE}{head}"
    views = Views(recipe.cached_views, recipe.augment, seed) if _augments(data, recipe) else None
    width, number = head.width, len(data.train) * (views.number if views else 1) + len(data.val or [])
    if 4 * width * number > _MOST_BYTES:
        return f"{_WHOLE}{number:,} features of {width:,} numbers are more than {_MOST_BYTES >> 30} GiB"
    trunk = FrozenTrunk(model, head[-1], data, recipe.eval_batch_size, device)
    train = Images(trunk.features("train", data.train, views), data.train.labels)
    val = data.val and Images(trunk.features("val", data.val), data.val.labels)
    shape = {"channels": width, "image_size": 1, "mean": (0.0,) * width, "std": (1.0,) * width}
    features = replace(data, train=train, val=val, unlabelled=None, **shape)
    own = replace(recipe, transfer=ALL_LEARN, augment=(pick,) if views else ())
    return HeadTraining(head, features, own, trunk.flops)


def check_cached_views(model: nn.Module, data: Data, recipe: Recipe) -> None:
    """Check, before any training, that a run whose recipe says so can train on cached views.

    Raises:
        UserError: it cannot, or they would have no effect.
    """
    if recipe.cached_views is None:
        return
    key = f"cached_views={recipe.cached_views}"
    if not _learns_alone(model, recipe):
        raise UserError(f"{key} has no effect: more than the last layer learns (it is read with trainable=head)")
    if not _augments(data, recipe):
        raise UserError(
            f"{key} has no effect: images are not augmented, their features are computed once (allowed: null)"
        )
    if isinstance(reason := _obstacle(data, recipe) or _cut(model, recipe, data.input_shape), str):
        raise UserError(f"{key} has no effect: {_WHOLE}{reason} (allowed: null)")


def _learns_alone(model: nn.Module, recipe: Recipe) -> bool:
    """Whether the last layer is all of a model that learns."""
    name, _ = last_layer(model)
    learning = recipe.transfer.learning
    return learning is not None and len(learning) == 1 and f"{name}.".startswith(f"{learning[0]}.")


def _augments(data: Data, recipe: Recipe) -> bool:
    """Whether an image is another one each time it is trained on."""
    return bool(recipe.augment) or (isinstance(data.train.images, StreamedImages) and data.train.images.random_crop)


def _obstacle(data: Data, recipe: Recipe) -> str | None:
    """Why a recipe needs the whole model in every step."""
    if _augments(data, recipe) and recipe.cached_views is None:
        return "images are augmented (augment=[], or cached_views=N of them, computes their features once)"
    if any("classes" in getattr(change, "keywords", {}) for change in recipe.augment):
        return "an augmentation blends images and labels anew in every step"
    if recipe.augment and isinstance(data.train.images, StreamedImages) and world_size() > 1:
        return "several processes share the decoding of augmented images"
    if recipe.transfer.unfreeze is not None:
        return "more is unfrozen later"
    if recipe.penalties or recipe.after_update or recipe.distillation_losses:
        return "a penalty, a method or a distillation works on the whole model in every step"
    return "all weights are kept to rewind to" if recipe.keep_epoch is not None else None


class _Head(nn.Sequential):
    """A last layer on features (n, D, 1, 1), after the dropout that acts on them in training: (n, classes)."""

    def __init__(self, width: int, dropout: list[nn.Module], layer: nn.Module):
        super().__init__(nn.Flatten(), *dropout, layer)
        self.width = width


def _cut(model: nn.Module, recipe: Recipe, input_shape: tuple[int, int, int]) -> _Head | str:
    """The last layer with the dropout that acts before it in training; or why the model cannot be cut there."""
    layer, images = model.get_submodule(recipe.transfer.learning[0]), example_input(model, (TRIED, *input_shape))
    freezing = Freezing(model, recipe.transfer)
    try:
        freezing.freeze()
        freezing.train()
        acting = [module for module in model.modules() if isinstance(module, nn.Dropout) and module.training]
        acting = [module for module in acting if module not in set(layer.modules())]
        for module in acting:
            module.eval()
        in_training = entering(model, layer, images)
    finally:
        freezing.release()
    with eval_mode(model):
        logits, features = model(images), entering(model, layer, images)
        if features.ndim != 2:
            return "the last layer is applied to maps or tokens"
        before = [entering(model, module, images) for module in acting]
        head = _Head(features.shape[1], acting, layer).eval()
        whole = torch.allclose(head(features), logits, rtol=1e-4, atol=1e-5)
    if not whole or not all(one.shape == features.shape and torch.equal(one, features) for one in before):
        return "the model computes more than its last layer behind its features"
    if not torch.equal(in_training, features):
        return "the model computes its features otherwise in training"
    return head
