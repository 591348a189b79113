"""The published data sets that torchvision can read, one function each.

Files are stored as torchvision stores them. The network is used only with ``download``. CIFAR's files are pickles:
torchvision opens them only if their MD5 sums are the published ones.
"""

import os
from typing import Any

import numpy as np
import torch

from effdl.config.types import Pixels, Workers
from effdl.data.source import Images, Source
from effdl.data.streamed import StreamedImages, default_workers
from effdl.utils.errors import UserError

_BY_FLAG = {"train": True}, {"train": False}
_BY_NAME = {"split": "train"}, {"split": "test"}
_DIGITS = tuple("0123456789")
_DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"


def mnist(*, root: str, download: bool) -> Source:
    """60,000 + 10,000 handwritten digits, 1x28x28, 10 classes (LeCun et al. 1998)."""
    return _mnist_like("MNIST", root, download)


def fashion_mnist(*, root: str, download: bool) -> Source:
    """60,000 + 10,000 articles of clothing, 1x28x28, 10 classes (Xiao et al. 2017)."""
    return _mnist_like("FashionMNIST", root, download)


def kmnist(*, root: str, download: bool) -> Source:
    """60,000 + 10,000 cursive Japanese characters, 1x28x28, 10 classes (Clanuwat et al. 2018)."""
    return _mnist_like("KMNIST", root, download)


def cifar10(*, root: str, download: bool) -> Source:
    """50,000 + 10,000 natural images, 3x32x32, 10 classes (Krizhevsky 2009)."""
    return _cifar("CIFAR10", "cifar-10-batches-py", root, download)


def cifar100(*, root: str, download: bool) -> Source:
    """50,000 + 10,000 natural images, 3x32x32, 100 classes (Krizhevsky 2009)."""
    return _cifar("CIFAR100", "cifar-100-python", root, download)


def svhn(*, root: str, download: bool) -> Source:
    """73,257 + 26,032 cropped house-number digits, 3x32x32, 10 classes (Netzer et al. 2011); reading needs scipy."""
    train, test = _open("SVHN", root, download, "{train,test}_32x32.mat", _BY_NAME)
    return Source(_images(train.data, train.labels), _images(test.data, test.labels), _DIGITS)


def stl10(*, root: str, download: bool, unlabelled: bool = False) -> Source:
    """5,000 + 8,000 labelled natural images, 3x96x96, 10 classes (Coates et al. 2011).

    ``unlabelled``: read the 100,000 images without labels too, which take 2.8 GB of memory.
    """
    splits = (*_BY_NAME, *([{"split": "unlabeled"}] if unlabelled else []))
    found = _open("STL10", root, download, "stl10_binary/*.bin (the unlabelled ones included)", splits)
    train, test, *others = (_images(part.data, part.labels) for part in found)
    return Source(train, test, tuple(found[0].classes), unlabelled=others[0] if others else None)


def imagenet(*, root: str, image_size: Pixels, workers: Workers | None) -> Source:
    """1,281,167 + 50,000 (the published validation set) natural images, 1,000 classes (ILSVRC 2012), streamed.

    Training images are random resized crops, the others the central 224/256 of their shorter side, resized to
    ``image_size``. ``workers``: decoding processes; None: one per CPU. The archives are unpacked on first use.
    """
    root = os.path.abspath(os.path.expanduser(root))
    files = (
        f"{_DEVKIT}, ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar, or meta.bin, train/ and val/ unpacked of them"
    )
    if not any(os.path.exists(os.path.join(root, name)) for name in (_DEVKIT, "meta.bin")):
        raise _unreadable("ImageNet", root, files, None, "no such file")
    train, test = _open("ImageNet", root, None, files, ({"split": "train"}, {"split": "val"}))

    def streamed(dataset: Any) -> Images:
        images = StreamedImages(
            root=root,
            files=tuple(os.path.relpath(path, root) for path, _ in dataset.samples),
            channels=3,
            image_size=image_size,
            workers=default_workers() if workers is None else workers,
            centre=224 / 256,
            random_crop=True,
        )
        return Images(images, torch.tensor(dataset.targets))

    return Source(streamed(train), streamed(test), tuple(", ".join(names) for names in train.classes))


def _mnist_like(name: str, root: str, download: bool) -> Source:
    train, test = _open(name, root, download, f"{name}/raw/{{train,t10k}}-{{images-idx3,labels-idx1}}-ubyte", _BY_FLAG)
    return Source(
        _images(train.data[:, None], train.targets), _images(test.data[:, None], test.targets), tuple(train.classes)
    )


def _cifar(name: str, folder: str, root: str, download: bool) -> Source:
    train, test = _open(name, root, download, f"{folder}/*", _BY_FLAG)
    return Source(
        _images(train.data.transpose(0, 3, 1, 2), train.targets),
        _images(test.data.transpose(0, 3, 1, 2), test.targets),
        tuple(train.classes),
    )


def _images(pixels: Any, labels: Any) -> Images:
    """Arrays or tensors as uint8 (N, C, H, W), contiguous, and int64 (N,)."""
    return Images(torch.as_tensor(np.ascontiguousarray(pixels)), torch.as_tensor(labels).long())


def _open(name: str, root: str, download: bool | None, files: str, splits: tuple[dict, ...]) -> list[Any]:
    """The ``splits`` of torchvision's class ``name``; UserError if the files are not there or damaged.

    ``download`` None: torchvision cannot download this one.
    """
    from torchvision import datasets

    root = os.path.abspath(os.path.expanduser(root))
    options = {} if download is None else {"download": download}
    try:
        return [getattr(datasets, name)(root, **split, **options) for split in splits]
    except ModuleNotFoundError as error:
        raise UserError(f"reading {name} needs the package {error.name}: pip install {error.name}") from None
    except Exception as error:  # RuntimeError, URLError, or any error of the reader of a damaged file
        raise _unreadable(name, root, files, download, str(error).strip().partition("\n")[0]) from None


def _unreadable(name: str, root: str, files: str, download: bool | None, reason: str) -> UserError:
    got = "could not be downloaded or read" if download else "is not there, or damaged"
    remedy = "put the files there, or set dataset.root to where they are"
    if download is False:
        remedy = f"pass dataset.download=true, {remedy}"
    return UserError(f"{name} {got}: looked in {root} for {files} ({reason}); {remedy}")
