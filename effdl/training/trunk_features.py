"""The features that a frozen trunk computes of the images of a data set, or of augmented views, kept on disk."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from effdl.data import feature_cache
from effdl.data.build import Data
from effdl.data.loader import batches, normalize
from effdl.data.source import Images
from effdl.measure.eval_mode import eval_mode, example_input
from effdl.nn.flops import counting
from effdl.nn.hooks import forward_hooks
from effdl.nn.row_buffer import joined
from effdl.training.device import Device
from effdl.utils.distributed import main_first
from effdl.utils.errors import RunError

log = logging.getLogger(__name__)
TRIED = 4  # images on which the trunk and the last layer are compared with the whole model


@dataclass(frozen=True)
class Views:
    """So many views of every image, by augmentations that draw from torch's global generator."""

    number: int
    augment: tuple[Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], ...]
    seed: int

    def __str__(self) -> str:
        """What they depend on besides the images, for a digest."""
        changes = [(getattr(change, "func", change), getattr(change, "keywords", {})) for change in self.augment]
        named = [f"{function.__module__}.{function.__qualname__} {keys}" for function, keys in changes]
        return f"{self.number} {self.seed} {named}"


def pick(views: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Of views (n, K, ...) a random one each, (n, ...): an augmentation of features."""
    chosen = torch.randint(views.shape[1], (len(views),), device=views.device)
    return views[torch.arange(len(views), device=views.device), chosen], targets


@torch.no_grad()
def entering(model: nn.Module, layer: nn.Module, images: Tensor) -> Tensor:
    """What enters a layer."""
    found: list[Tensor] = []
    with forward_hooks([layer], lambda module, args: found.append(args[0]), before=True):
        model(images)
    return found[-1]


class FrozenTrunk:
    """The frozen part of a model, which computes features of the splits of a data set, or finds them in the cache.

    `flops` is what that took for the training split.
    """

    def __init__(self, model: nn.Module, layer: nn.Module, data: Data, batch_size: int, device: Device):
        self.model, self.layer, self.data, self.device = model, layer, data, device
        self.batch_size, self.flops = batch_size, 0.0
        self.key = self._content(set(layer.parameters()) | set(layer.buffers()))

    def features(self, split: str, images: Images, views: Views | None = None) -> Tensor:
        """The features of a split, float32 (N, D, 1, 1), or of views of it (N, views, D, 1, 1), on the device."""
        key = hashlib.sha256(
            f"{self.key} {split}{f' {views} {self.batch_size}' if views else ''}".encode()
        ).hexdigest()[:32]

        def found() -> Tensor:
            if (stored := feature_cache.read(key)) is None or not self._fits(stored, images, views):
                if views:
                    torch.manual_seed(views.seed)
                    every = [joined(self._computed(images, views), len(images)) for _ in range(views.number)]
                    stored = torch.stack(every, 1).cpu()
                else:
                    stored = joined(self._computed(images), len(images)).cpu()
                passes = len(images) * (views.number if views else 1)
                self.flops += passes * self._flops_per_image() if split == "train" else 0.0
                feature_cache.write(key, stored)
            else:
                log.info("features of the %s split: from the cache", split)
            return stored

        return main_first(found)[..., None, None].to(self.device.torch_device)

    def _computed(self, images: Images, views: Views | None = None) -> Iterator[Tensor]:
        """Batches of features, float32 (n, D), of all images or of one view each."""
        device, train = self.device.torch_device, views is not None
        with eval_mode(self.model):
            for batch, labels in batches(
                images, self.batch_size, order=None, device=device, drop_last=False, train=train
            ):
                for change in views.augment if views else ():
                    batch, targets = change(batch, labels)
                    if targets.shape != labels.shape or (targets != labels).any():
                        raise RunError("cached_views: an augmentation changes labels, which cached features keep")
                with self.device.autocast():
                    yield entering(self.model, self.layer, normalize(batch, self.data.mean, self.data.std)).float()

    def _fits(self, stored: Tensor, images: Images, views: Views | None) -> bool:
        """Whether stored features are those of the split, as far as its first images tell."""
        if len(stored) != len(images):
            return False
        if views:  # what is drawn for the first images depends on their whole batch
            torch.manual_seed(views.seed)
            stored = stored[:, 0]
        else:
            images = images.select(torch.arange(min(TRIED, len(images))))
        first = next(iter(self._computed(images, views)))
        return torch.allclose(stored[: len(first)], first.cpu(), rtol=1e-2, atol=1e-3)

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
            features = entering(self.model, self.layer, example_input(self.model, (1, *self.data.input_shape)))
            before = counter.total
            self.layer(features)
        return before - (counter.total - before)
