"""Images in one folder per class, of any size and format."""

import hashlib
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from effdl.config.types import Fraction, Pixels, Positive, Workers
from effdl.data import pixel_cache
from effdl.data.source import Images, Source
from effdl.data.split import stratified_holdout
from effdl.data.streamed import StreamedImages, default_workers, encoded
from effdl.utils.errors import UserError

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp", ".gif")
_HEADERS = 1000  # number of images whose size is read to find a common size
_Listing = list[tuple[str, str]]  # (class, path relative to the root) of every image, sorted


def image_folder(
    *,
    root: str,
    test_fraction: Fraction,
    image_size: Pixels | None,
    channels: Literal[1, 3],
    memory_gb: Positive,
    workers: Workers | None,
) -> Source:
    """Read ``root/train/<class>/*`` and ``root/test/<class>/*``, or all images of ``root/<class>/*``.

    ``val`` is taken for the test folder if there is no ``test`` (beside a ``test`` it is not used). Without either,
    ``test_fraction`` of each class is held out as the test set, always the same one.

    ``image_size`` None: the side of the images if a thousand of them, evenly spaced, are square and of one size,
    else 224. Every image is reduced to its centre square and resized to that. Decoded images of up to ``memory_gb``
    (10^9 bytes; preparing the splits needs twice that for a moment) are held in memory, and kept decoded in a cache
    for the next run; more are streamed. ``workers``: number of decoding threads or, for streamed images,
    processes; None: one per CPU.

    Raises UserError if the folders have another structure or one class only, or an image cannot be read.
    """
    root = os.path.abspath(os.path.expanduser(root))
    train, test = _listings(root)
    classes = sorted({name for name, _ in train})
    if len(classes) < 2:
        raise UserError(
            f"dataset.root={root}: the only class is {classes[0]}; allowed is a folder of two or more classes"
        )
    if unknown := sorted({name for name, _ in test} - set(classes)):
        raise UserError(f"{root}: the test folder has classes that the train folder has not: {', '.join(unknown)}")
    files = tuple(file for _, file in train + test)
    label = {name: number for number, name in enumerate(classes)}
    labels = torch.tensor([label[name] for name, _ in train + test])
    workers = default_workers() if workers is None else workers

    images = _images(root, files, image_size, channels, memory_gb, workers)
    everything = Images(images, labels)
    if test:
        first, second = torch.arange(len(files)).split([len(train), len(test)])
    else:
        first, second = stratified_holdout(labels, test_fraction, seed=0)
        if not len(second):
            raise UserError(f"dataset.test_fraction={test_fraction} of {len(files)} images holds out none; {root}")
    return Source(everything.select(first), everything.select(second), tuple(classes))


def _listings(root: str) -> tuple[_Listing, _Listing]:
    """The training and test images; the latter are empty if there is no folder of test images."""
    folders = {name for name in ("train", "test", "val") if os.path.isdir(os.path.join(root, name))}
    if "train" not in folders:
        return _listing(root, ""), []
    test = next((name for name in ("test", "val") if name in folders), None)
    return _listing(root, "train"), [] if test is None else _listing(root, test)


def _listing(root: str, part: str) -> _Listing:
    where = Path(root, part)
    looked = f"looked for image files in {where}{os.sep}<class>{os.sep} ({', '.join(_EXTENSIONS)})"
    if not os.path.isdir(where):
        raise UserError(f"no such folder: {looked}; set dataset.root to the folder that holds train/ and test/")
    found = []
    for folder in filter(os.path.isdir, map(where.joinpath, _names(where))):
        _require_text(folder)
        names = [name for name in _names(folder) if name.lower().endswith(_EXTENSIONS)]
        if not names:
            raise UserError(f"no images in the class folder {folder}: {looked}")
        found += [(folder.name, os.path.join(part, folder.name, name)) for name in names]
    if not found:
        raise UserError(f"no images: {looked}; set dataset.root to the folder that holds train/ and test/")
    return found


def _names(folder: Path) -> list[str]:
    """The sorted names in a folder, without hidden ones."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from error


def _images(
    root: str, files: tuple[str, ...], image_size: int | None, channels: int, memory_gb: float, workers: int
) -> Tensor | StreamedImages:
    """All files decoded in memory, from the cache if it has them, or streamed if they are more than ``memory_gb``."""
    found = [_stat(os.path.join(root, file)) for file in files]
    listing = [f"{file} {of.st_size} {of.st_mtime_ns}" for file, of in zip(files, found, strict=True)]
    key = hashlib.sha256(encoded("\n".join([f"{image_size} {channels}", *listing]))).hexdigest()
    limit = memory_gb * 1e9
    if (cached := pixel_cache.read(key, len(files), limit)) is not None:
        return cached
    size = image_size or _common_size(root, files)
    streamed = StreamedImages(root, files, channels, size, workers)
    if len(files) * channels * size**2 > limit:
        return streamed
    pixels = decode_all(streamed)
    pixel_cache.write(key, pixels)
    return pixels


def _require_text(folder: Path) -> None:
    """Refuse a folder whose name cannot be written into a run: those of files may be of any bytes."""
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"the folder {os.fsencode(folder)!r} has a name that is not UTF-8: rename it") from error


def _stat(path: str) -> os.stat_result:
    """Size and time of a file, which must be one that can be read from its beginning to its end."""
    try:
        found = os.stat(path)
    except OSError as error:  # a link to nothing, or to itself
        raise UserError(f"{path} cannot be read as an image: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise UserError(
            f"{path} cannot be read as an image: it is not a file (allowed: regular files and links to them)"
        )
    return found


def _common_size(root: str, files: tuple[str, ...]) -> int:
    from PIL import Image

    sizes = set()
    for file in files[:: max(1, len(files) // _HEADERS)]:
        path = os.path.join(root, file)
        try:
            with Image.open(path) as image:  # reads the header only
                sizes.add(image.size)
        except Exception as error:
            raise UserError(f"{path} cannot be read as an image: {error}") from None
    width, height = sizes.pop()
    return width if not sizes and width == height else 224


def decode_all(streamed: StreamedImages, chunk: int = 100) -> Tensor:
    """uint8 (N, C, H, W), decoded by threads (PIL releases the interpreter lock); a terminal shows a progress bar."""
    from rich.console import Console
    from rich.progress import track

    pixels = torch.empty(len(streamed), streamed.channels, streamed.image_size, streamed.image_size, dtype=torch.uint8)

    def decode(start: int) -> None:
        for index in range(start, min(start + chunk, len(streamed))):
            pixels[index] = streamed.decode(index)

    starts = range(0, len(streamed), chunk)
    options = {"console": Console(stderr=True), "transient": True, "disable": not sys.stderr.isatty()}
    with ThreadPoolExecutor(max(1, streamed.workers)) as pool:
        for _ in track(pool.map(decode, starts), "Decoding images", len(starts), **options):
            pass
    return pixels
