"""Batches of images on the device, and their normalization."""

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from effdl.data.build import Data
from effdl.data.inputs import Inputs
from effdl.data.source import Images
from effdl.data.streamed import StreamedImages
from effdl.utils.data_parallel import gather, share
from effdl.utils.distributed import world_size
from effdl.utils.errors import UserError


def batches(
    images: Images, batch_size: int, *, order: Tensor | None, device: torch.device, drop_last: bool, train: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ``(uint8 (n, C, H, W), int64 (n,))`` on ``device``: the images at ``order`` (int64; None: all, as stored).

    Each index of ``order`` comes exactly once, in that order; ``drop_last`` leaves out an incomplete last batch.
    ``train`` turns on the random crop of streamed images that have one, drawn from torch's global generator when
    the first batch is requested, so the result does not depend on the number of workers. In training, the processes
    of a group each decode a part of every streamed batch, and exchange them.
    """
    streamed = isinstance(images.images, StreamedImages)
    if streamed:
        pixels = _decoded(images.images, batch_size, order, drop_last, train, pin_memory=device.type == "cuda")
    else:
        pixels = _selected(images.images, batch_size, order, drop_last)
    labels = _selected(images.labels, batch_size, order, drop_last)
    overlap = device.type == "cuda"  # copies to the CPU must be synchronous
    for batch, targets in zip(pixels, labels, strict=True):
        batch = batch.to(device, non_blocking=overlap)
        yield gather(batch) if streamed and train else batch, targets.to(device, non_blocking=overlap)


def _selected(tensor: Tensor, batch_size: int, order: Tensor | None, drop_last: bool) -> Iterator[Tensor]:
    length = len(tensor) if order is None else len(order)
    order = order if order is None else order.to(tensor.device)
    for start in range(0, length - batch_size + 1 if drop_last else length, batch_size):
        part = slice(start, start + batch_size)
        yield tensor[part] if order is None else tensor.index_select(0, order[part])


def _decoded(
    images: StreamedImages, batch_size: int, order: Tensor | None, drop_last: bool, train: bool, pin_memory: bool
) -> Iterator[Tensor]:
    order = torch.arange(len(images)) if order is None else order.cpu()
    seeds = torch.randint(2**62, (len(order),)) if train and images.random_crop else None
    if train:
        own = _own_positions(len(order), batch_size, drop_last)
        order, seeds = order[own], None if seeds is None else seeds[own]
        batch_size = -(-batch_size // world_size())
    loader = DataLoader(
        _Decoder(images, order, seeds),
        batch_size,
        num_workers=images.workers,
        collate_fn=_collate,
        drop_last=drop_last,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # otherwise the loader draws from the global generator
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield batch


def _own_positions(length: int, batch_size: int, drop_last: bool) -> Tensor:
    """The positions of an epoch that this process decodes: its part of every batch."""
    positions = torch.arange(length - length % batch_size if drop_last else length)
    return torch.cat([share(batch) for batch in positions.split(batch_size)])


class _Decoder(Dataset):
    """Maps positions of an epoch to decoded images; returns errors, which lose their message if raised in a worker."""

    def __init__(self, images: StreamedImages, order: Tensor, seeds: Tensor | None) -> None:
        self.images, self.order, self.seeds = images, order, seeds

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, position: int) -> Tensor | UserError:
        try:
            seed = None if self.seeds is None else int(self.seeds[position])
            return self.images.decode(int(self.order[position]), seed)
        except UserError as error:
            return error


def _collate(items: list[Tensor | UserError]) -> Tensor | UserError:
    return next((item for item in items if isinstance(item, UserError)), None) or torch.stack(items)


def normalize(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """``(images - mean) / std`` per channel as float32; images (N, C, H, W), uint8 or float, all in 0..255 units."""
    scale, shift = _scale_and_shift(tuple(mean), tuple(std), images.device)
    return (images * scale).add_(shift)  # two passes: one that also converts to float, one in place


def normalize_again(images: Tensor, before: Inputs, after: Inputs) -> Tensor:
    """Images that were normalized for one model, float (N, C, H, W), as another one is given them."""
    mean = tuple((new - old) / std for new, old, std in zip(after.mean, before.mean, before.std, strict=True))
    std = tuple(new / old for new, old in zip(after.std, before.std, strict=True))
    return normalize(images, mean, std)


def normalized_batches(
    images: Images, data: Data, batch_size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of a split in order, ready for a model: float images (n, C, H, W) and labels (n,)."""
    for batch, labels in batches(images, batch_size, order=None, device=device, drop_last=False, train=False):
        yield normalize(batch, data.mean, data.std), labels


@lru_cache(maxsize=8)
def _scale_and_shift(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (mean, std))
    return (1 / std).float().to(device), (-mean / std).float().to(device)
