"""How good features are while a model is trained without labels: neighbours, and whether they have collapsed."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

from effdl.data.build import Data
from effdl.data.loader import batches, normalize, normalized_batches
from effdl.data.source import Images
from effdl.measure.collapse import effective_rank, embedding_std, has_collapsed
from effdl.measure.eval_mode import eval_mode
from effdl.measure.knn import knn_accuracy
from effdl.nn.row_buffer import joined
from effdl.training.device import Device
from effdl.training.remedy import SLOWER
from effdl.utils.errors import RunError

DRAWN = 10  # images
_NEIGHBOURS = 200  # training images that are looked at after an epoch, or a tenth of them
_REMEDY = "lower optimizer.lr or pretraining.lr_scale, enlarge batch_size, or take pretraining=simclr or vicreg"
log = logging.getLogger(__name__)


def quality(
    trunk: nn.Module, objective: nn.Module, data: Data, batch_size: int, device: Device, earlier: list[dict]
) -> dict:
    """What a row says of the features of an epoch: ``val_knn_top1``, ``embedding_std`` and ``embedding_rank``.

    Neighbours are sought among some training images only, so that it costs little beside the epoch: always the same.

    Args:
        trunk: the model without its last layer, which gives features (n, D).
        data: with a validation split.
        earlier: rows of the epochs before.

    Raises:
        RunError: the features are not finite, or the embeddings are the same for all images, after this epoch and the
            one before.
    """
    held, some = data.val, evenly(data.train, max(_NEIGHBOURS, len(data.train) // 10))
    asked = _features(trunk, held, data, batch_size, device)
    if not asked.isfinite().all():
        raise RunError(f"the features are not finite: {SLOWER}, or pretraining.lr_scale")
    with eval_mode(objective):
        embeddings = objective.embed(asked)
    row = {"embedding_std": embedding_std(embeddings), "embedding_rank": effective_rank(embeddings)}
    if objective.collapses:
        _check(row, earlier[-1:], embeddings.shape[1])
    known = _features(trunk, some, data, batch_size, device)
    return {"val_knn_top1": knn_accuracy(known, some.labels, asked, held.labels), **row}


def drawings(
    trunk: nn.Module,
    objective: nn.Module,
    images: Images,
    data: Data,
    augment: Callable[[Tensor, Tensor], tuple],
    device: Device,
) -> Tensor:
    """What an autoencoder sees and makes of images, see `effdl.training.callbacks`: uint8 (n, 3, C, H, W)."""
    pixels, labels = next(
        batches(images, len(images), order=None, device=device.torch_device, drop_last=False, train=False)
    )
    given, _ = augment(pixels, labels)
    with eval_mode(trunk), eval_mode(objective):
        found = torch.stack(objective.draw(trunk, normalize(given, data.mean, data.std)), 1).float()
    mean, std = (torch.tensor(values, device=found.device).view(-1, 1, 1) for values in (data.mean, data.std))
    found = torch.cat([pixels[:, None].float(), found * std + mean], 1)
    return found.round().clamp(0, 255).to(torch.uint8).cpu()


def evenly(images: Images, count: int) -> Images:
    """So many of the images that have labels (all, if there are fewer), evenly over their order."""
    labelled = (images.labels >= 0).nonzero().flatten()
    count = min(count, len(labelled))
    return images.select(labelled[torch.arange(count, device=labelled.device) * len(labelled) // count])


def _check(row: dict, before: list[dict], dimensions: int) -> None:
    """Warn of embeddings that are the same for all images; stop (RunError) if they were so after the epoch before."""

    def collapsed(row: dict) -> bool:
        return has_collapsed(row["embedding_std"], row["embedding_rank"], dimensions)

    if not collapsed(row):
        return
    said = (
        f"the embeddings have collapsed: standard deviation {row['embedding_std']:.2g} (spread evenly "
        f"{dimensions**-0.5:.2g}), effective rank {row['embedding_rank']:.3g} of {dimensions}; {_REMEDY}"
    )
    if any(map(collapsed, before)):
        raise RunError(said)
    log.warning("%s. It stops if they still are after the next epoch", said)


def _features(trunk: nn.Module, images: Images, data: Data, batch_size: int, device: Device) -> Tensor:
    """Features (N, D) of the images of a split, in their order."""
    with eval_mode(trunk):
        batches = normalized_batches(images, data, batch_size, device.torch_device)
        return joined((trunk(batch) for batch, _ in batches), len(images))
