"""Two summaries of a data set: the mean and deviation of its channels, and a fingerprint of its content."""

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from effdl.data.image_files import encoded
from effdl.data.source import Images
from effdl.data.streamed import StreamedImages

_IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
_IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)
CHUNK_BYTES = 1 << 24


def channel_statistics(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """``(mean, std)`` of each channel over all pixels, in 0..255 units; the std of a constant channel is 1.

    Exact, from the histogram of the 256 values. Streamed images get ImageNet's constants, averaged over the
    channels for grey ones.
    """
    if isinstance(images.images, StreamedImages):
        if images.channels == 3:
            return _IMAGENET_MEAN, _IMAGENET_STD
        return (sum(_IMAGENET_MEAN) / 3,), (sum(_IMAGENET_STD) / 3,)
    histogram = torch.zeros(images.channels, 256, dtype=torch.float64)
    for chunk in images.images.split(_chunk_length(images.images)):
        for channel in range(images.channels):
            histogram[channel] += torch.bincount(chunk[:, channel].flatten(), minlength=256)
    share = histogram / histogram.sum(dim=1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64)
    mean = share @ values
    std = (share * (values - mean[:, None]) ** 2).sum(dim=1).sqrt()
    return tuple(mean.tolist()), tuple(torch.where(std > 0, std, 1.0).tolist())


def fingerprint(parts: Iterable[Images]) -> str:
    """sha256 (hex) over labels and pixels of the parts, in order; of streamed images over names, sizes and ranges."""
    digest = hashlib.sha256()
    for part in parts:
        streamed = isinstance(part.images, StreamedImages)
        digest.update(tensor_digest(part.labels))
        digest.update(_files_digest(part.images) if streamed else tensor_digest(part.images))
    return digest.hexdigest()


def tensor_digest(tensor: Tensor) -> bytes:
    """sha256 of a tensor's type, shape and values: the hash of its chunks' hashes, so threads can share the work."""
    chunks = tensor.split(_chunk_length(tensor))
    with ThreadPoolExecutor() as pool:  # hashlib releases the interpreter lock
        digests = pool.map(lambda chunk: hashlib.sha256(chunk.contiguous().numpy()).digest(), chunks)
        return hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)} ".encode() + b"".join(digests)).digest()


def _files_digest(images: StreamedImages) -> bytes:
    sizes = (os.stat(os.path.join(images.root, file)).st_size for file in images.files)
    lines = [f"{file} {size}" for file, size in zip(images.files, sizes, strict=True)]
    lines += [f"{kind} {range_}" for kind, range_ in images.ranges.items()]
    return hashlib.sha256(encoded("\n".join(lines))).digest()


def _chunk_length(tensor: Tensor) -> int:
    return max(1, CHUNK_BYTES // max(1, tensor[:1].numel() * tensor.element_size()))
