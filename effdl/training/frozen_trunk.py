"""A last layer that learns alone is trained on features: the frozen trunk before it runs once, not in every epoch.

The features are kept on disk by the content of all that they depend on, so a second run, or one with another recipe,
need not compute them either. The layer is trained by the same loop, with the same draws: features are its images.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from effdl.data import feature_cache
from effdl.data.build import Data
from effdl.data.loader import normalized_batches
from effdl.data.source import Images
from effdl.data.streamed import StreamedImages
from effdl.measure.eval_mode import eval_mode, example_input
from effdl.models.surgery import last_layer
from effdl.nn.flops import counting
from effdl.nn.hooks import forward_hooks
from effdl.training.device import Device
from effdl.training.recipe import Recipe
from effdl.training.transfer import ALL_LEARN, Freezing
from effdl.utils.distributed import main_first

log = logging.getLogger(__name__)
_MOST_BYTES = feature_cache.LIMIT
_WHOLE = "the frozen layers run in every epoch: "
_TRIED = 4  # images on which the trunk and the last layer are compared with the whole model


@dataclass(frozen=True)
class HeadTraining:
    """What `effdl.training.loop.fit` trains in place of a model whose last layer alone learns.

    Args:
        head: the model's own last layer, with the dropout before it, as a model of features (n, D, 1, 1).
        data: the features of the images, without augmentation.
        recipe: of the same training.
        flops: that were spent on computing those of the training split now.
    """

    head: nn.Module
    data: Data
    recipe: Recipe
    flops: float

    def __str__(self) -> str:
        once = "computed once" if self.flops else "found in the cache"
        return f"the last layer is trained on its {self.data.channels:,} features per image, which were {once}"


def head_training(model: nn.Module, data: Data, recipe: Recipe, device: Device) -> HeadTraining | str | None:
    """The training of a model's last layer on features; or why the whole model must run, as words; None if more learns.

    The features are computed here, unless they are cached.
    """
    name, _ = last_layer(model)
    learning = recipe.transfer.learning
    if learning is None or len(learning) != 1 or not f"{name}.".startswith(f"{learning[0]}."):
        return None
    if reason := _obstacle(data, recipe):
        return f"{_WHOLE}{reason}"
    head = _cut(device.move(model), model.get_submodule(learning[0]), recipe, data.input_shape)
    if isinstance(head, str):
        return f"{_WHOLE}{head}"
    width, number = head.width, sum(len(split) for split in (data.train, data.val) if split)
    if 4 * width * number > _MOST_BYTES:
        return f"{_WHOLE}{number:,} features of {width:,} numbers are more than {_MOST_BYTES >> 30} GiB"
    trunk = _Trunk(model, head, data, recipe.eval_batch_size, device)
    splits = {key: getattr(data, key) for key in ("train", "val")}
    splits = {key: split and Images(trunk.features(key, split), split.labels) for key, split in splits.items()}
    features = replace(
        data, **splits, unlabelled=None, channels=width, image_size=1, mean=(0.0,) * width, std=(1.0,) * width
    )
    return HeadTraining(head, features, replace(recipe, transfer=ALL_LEARN), trunk.flops)


def _obstacle(data: Data, recipe: Recipe) -> str | None:
    """Why a recipe needs the whole model in every step."""
    if recipe.augment or (isinstance(data.train.images, StreamedImages) and data.train.images.random_crop):
        return "images are augmented (augment=[] computes their features once)"
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


def _cut(model: nn.Module, layer: nn.Module, recipe: Recipe, input_shape: tuple[int, int, int]) -> _Head | str:
    """The last layer with the dropout that acts before it in training; or why the model cannot be cut there."""
    images = example_input(model, (_TRIED, *input_shape))
    freezing = Freezing(model, recipe.transfer)
    try:
        freezing.freeze()
        freezing.train()
        acting = [module for module in model.modules() if isinstance(module, nn.Dropout) and module.training]
        acting = [module for module in acting if module not in set(layer.modules())]
        for module in acting:
            module.eval()
        in_training = _entering(model, layer, images)
    finally:
        freezing.release()
    with eval_mode(model):
        logits, features = model(images), _entering(model, layer, images)
        if features.ndim != 2:
            return "the last layer is applied to maps or tokens"
        before = [_entering(model, module, images) for module in acting]
        head = _Head(features.shape[1], acting, layer).eval()
        whole = torch.allclose(head(features), logits, rtol=1e-4, atol=1e-5)
    if not whole or not all(one.shape == features.shape and torch.equal(one, features) for one in before):
        return "the model computes more than its last layer behind its features"
    if not torch.equal(in_training, features):
        return "the model computes its features otherwise in training"
    return head


@torch.no_grad()
def _entering(model: nn.Module, layer: nn.Module, images: Tensor) -> Tensor:
    """What enters a layer."""
    found: list[Tensor] = []
    with forward_hooks([layer], lambda module, args: found.append(args[0]), before=True):
        model(images)
    return found[-1]


class _Trunk:
    """The frozen part of a model, which computes features of the splits of a data set, or finds them in the cache.

    `flops` is what that took for the training split.
    """

    def __init__(self, model: nn.Module, head: _Head, data: Data, batch_size: int, device: Device):
        self.model, self.layer, self.data, self.device = model, head[-1], data, device
        self.batch_size, self.flops = batch_size, 0.0
        self.key = self._content(set(head.parameters()) | set(head.buffers()))

    def features(self, split: str, images: Images) -> Tensor:
        """The features of a split, float32 (N, D, 1, 1) on the device."""
        key = hashlib.sha256(f"{self.key} {split}".encode()).hexdigest()[:32]

        def found() -> Tensor:
            if (stored := feature_cache.read(key)) is None or not self._fits(stored, images):
                stored = torch.cat(list(self._computed(images))).cpu()
                self.flops += len(images) * self._flops_per_image() if split == "train" else 0.0
                feature_cache.write(key, stored)
            else:
                log.info("features of the %s split: from the cache", split)
            return stored

        return main_first(found)[..., None, None].to(self.device.torch_device)

    def _computed(self, images: Images) -> Iterator[Tensor]:
        """Batches of features, float32 (n, D)."""
        with eval_mode(self.model), self.device.autocast():
            for batch, _ in normalized_batches(images, self.data, self.batch_size, self.device.torch_device):
                yield _entering(self.model, self.layer, batch).float()

    def _fits(self, stored: Tensor, images: Images) -> bool:
        """Whether stored features are those of the split, as far as its first images tell."""
        first = next(iter(self._computed(images.select(torch.arange(min(_TRIED, len(images)))))))
        return len(stored) == len(images) and torch.allclose(stored[: len(first)], first.cpu(), rtol=1e-2, atol=1e-3)

    def _content(self, head: set[Tensor]) -> str:
        """A digest of all that the features depend on: structure and weights, images, normalization, arithmetic."""
        digest, inner = hashlib.sha256(), set(self.layer.modules())
        for name, module in self.model.named_modules():
            if module not in inner and not list(module.children()):
                digest.update(f"{name} {type(module).__qualname__} {module.extra_repr()}".encode())
        for name, tensor in (*self.model.named_parameters(), *self.model.named_buffers()):
            if tensor not in head:
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        data = [self.data.fingerprint, self.data.input_shape, self.data.mean, self.data.std]
        digest.update(json.dumps([*data, self.device.precision, self.device.torch_device.type]).encode())
        return digest.hexdigest()

    def _flops_per_image(self) -> float:
        """The FLOPs of the trunk's forward pass, 2 for every multiply-accumulate."""
        with eval_mode(self.model), counting(self.model) as counter:
            features = _entering(self.model, self.layer, example_input(self.model, (1, *self.data.input_shape)))
            before = counter.total
            self.layer(features)
        return before - (counter.total - before)
