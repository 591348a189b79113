"""Images in one folder per class, of any size and format."""

import hashlib
import os
from itertools import chain
from typing import Literal

import PIL
import torch
import torch.nn.functional as F
from torch import Tensor

from effdl.config.types import Fraction, Pixels, Positive, Workers
from effdl.data import pixel_cache
from effdl.data.class_folders import ImageFile, class_folders
from effdl.data.image_files import encoded, for_all
from effdl.data.pixels import RULE, Ranges
from effdl.data.source import UNLABELLED, Images, Source
from effdl.data.split import stratified_holdout
from effdl.data.streamed import StreamedImages, default_workers
from effdl.data.survey import notes_on, ranges_of, read_headers
from effdl.utils.errors import UserError

_HEADERS = 1000  # number of images whose headers are read before it is known whether all fit in memory


def image_folder(
    *,
    root: str,
    test_fraction: Fraction,
    image_size: Pixels | None,
    channels: Literal[1, 3],
    memory_gb: Positive,
    workers: Workers | None,
) -> Source:
    """Read the images in ``root/train/<class>/`` and ``root/test/<class>/``, or in ``root/<class>/``, at any depth.

    ``val`` beside ``test`` is the validation split, and is taken for the test folder if there is no ``test``. Without
    either, ``test_fraction`` of each class is held out as the test set, always the same one. Images in
    ``root/unlabelled/`` beside ``train`` have no labels.

    ``image_size`` None: the side of the images if a thousand of them, evenly spaced, are square and of one size,
    else 224. Every image is turned upright, made 8-bit grey or RGB (see `effdl.data.pixels`), and reduced to its centre
    square, which is resized to that. Decoded images of up to ``memory_gb`` (10^9 bytes; preparing the splits needs
    twice that for a moment) are held in memory, and kept decoded in a cache for the next run; more are streamed.
    ``workers``: number of decoding threads or, for streamed images, processes; None: one per CPU.

    The source's notes say what is left out, and how the pixels of images of more than 8 bits are scaled.

    Raises UserError if the folders have another structure or one class only, or an image cannot be read.
    """
    root = os.path.abspath(os.path.expanduser(root))
    found = class_folders(root)
    classes = sorted({image.class_name for image in found.train})
    for split, held in (("test", found.test), ("validation", found.val)):
        if unknown := sorted({image.class_name for image in held} - set(classes)):
            raise UserError(
                f"{root}: the {split} folder has classes that the train folder has not: {', '.join(unknown)}"
            )
    if found.val and (missing := sorted(set(classes) - {image.class_name for image in found.val})):
        raise UserError(f"{root}: the validation folder lacks classes of the train folder: {', '.join(missing)}")
    parts = found.train, found.val, found.test, found.unlabelled
    files = list(chain(*parts))
    label = {name: number for number, name in enumerate(classes)}
    labels = torch.tensor([label[image.class_name] for part in parts[:3] for image in part])
    workers = default_workers() if workers is None else workers

    images, ranges, notes = _images(root, files, image_size, channels, memory_gb, workers)
    everything = Images(images, F.pad(labels, (0, len(found.unlabelled)), value=UNLABELLED))
    train, val, test, unlabelled = torch.arange(len(files)).split([*map(len, parts)])
    if not found.test:
        train, test = stratified_holdout(labels[train], test_fraction, seed=0)  # they are the first of the files
        if not len(test):
            raise UserError(f"dataset.test_fraction={test_fraction} of {len(train)} images holds out none; {root}")
    train, val, test, unlabelled = map(everything.select, (train, val, test, unlabelled))
    notes = (*found.notes(), *notes)
    return Source(train, test, tuple(classes), ranges, notes, val=val or None, unlabelled=unlabelled or None)


def _images(
    root: str, files: list[ImageFile], image_size: int | None, channels: int, memory_gb: float, workers: int
) -> tuple[Tensor | StreamedImages, Ranges, list[str]]:
    """All files decoded in memory, from the cache if it has them, or streamed if they are more than ``memory_gb``.

    Beside them, the ranges of deep pixels, and sentences on what is not read as it is in the files.
    """
    key, limit = _key(files, image_size, channels), memory_gb * 1e9
    if (cached := pixel_cache.read(key, len(files), limit)) is not None:
        images, about = cached
        return images, {kind: tuple(ends) for kind, ends in about["ranges"].items()}, about["notes"]
    paths = [os.path.join(root, file.path) for file in files]
    seen = paths[:: max(1, len(paths) // _HEADERS)]
    headers = read_headers(seen, workers)
    size = image_size or _common_size({header.size for header in headers})
    in_memory = len(files) * channels * size**2 <= limit
    if in_memory and len(seen) < len(paths):
        seen, headers = paths, read_headers(paths, workers)
    ranges, notes = ranges_of(seen, headers, workers)
    notes += notes_on(seen, headers)
    relative = tuple(file.path for file in files)
    streamed = StreamedImages(root, relative, channels, size, workers, ranges=ranges, orient=True)
    if not in_memory:
        return streamed, ranges, [f"{note} ({len(seen):,} of {len(paths):,} images looked at)" for note in notes]
    pixels = decode_all(streamed)
    pixel_cache.write(key, pixels, {"ranges": ranges, "notes": notes})
    return pixels, ranges, notes


def _key(files: list[ImageFile], image_size: int | None, channels: int) -> str:
    """What decides on the pixels: the files, what they become, and the rule and the library that make it of them."""
    options = f"{image_size} {channels} {RULE} {PIL.__version__}"
    listing = [f"{file.path} {file.size} {file.changed}" for file in files]
    return hashlib.sha256(encoded("\n".join([options, *listing]))).hexdigest()


def _common_size(sizes: set[tuple[int, int]]) -> int:
    width, height = next(iter(sizes))
    return width if len(sizes) == 1 and width == height else 224


def decode_all(streamed: StreamedImages) -> Tensor:
    """uint8 (N, C, H, W), decoded by threads.

    Raises:
        UserError: images cannot be read; names the first, and how many.
    """
    pixels = torch.empty(len(streamed), streamed.channels, streamed.image_size, streamed.image_size, dtype=torch.uint8)

    def decode(index: int) -> None:
        pixels[index] = streamed.decode(index)

    for_all(decode, range(len(streamed)), streamed.workers, "Decoding images")
    return pixels
