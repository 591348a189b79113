import pickle
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from effdl.data import torchvision_sets
from effdl.data.loader import batches
from effdl.utils.errors import UserError

RANDOM = np.random.default_rng(0)


def write_idx(path, array):
    """The IDX format of MNIST: magic number, dimensions, bytes."""
    header = struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_the_idx_files_are_read(tmp_path, name, folder):
    raw = tmp_path / folder / "raw"
    raw.mkdir(parents=True)
    written = {}
    for part, count in (("train", 30), ("t10k", 20)):
        written[part] = RANDOM.integers(0, 256, (count, 28, 28), np.uint8), np.arange(count, dtype=np.uint8) % 10
        write_idx(raw / f"{part}-images-idx3-ubyte", written[part][0])
        write_idx(raw / f"{part}-labels-idx1-ubyte", written[part][1])
    source = getattr(torchvision_sets, name)(root=str(tmp_path), download=False)
    for part, images in (("train", source.train), ("t10k", source.test)):
        assert torch.equal(images.images, torch.from_numpy(written[part][0])[:, None])
        assert torch.equal(images.labels, torch.from_numpy(written[part][1]).long())
    assert len(source.classes) == 10


def test_damaged_idx_files_are_a_user_error(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        write_idx(raw / f"{part}-images-idx3-ubyte", np.zeros((5, 28, 28)))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\10")
    with pytest.raises(UserError, match="MNIST is not there, or damaged"):
        torchvision_sets.mnist(root=str(tmp_path), download=False)


def test_the_cifar_batches_are_read(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10

    # tiny files cannot have the published MD5 sums: None checks only that they exist
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", None], ["data_batch_2", None]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", None]])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": None})
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = RANDOM.integers(0, 256, (3, 4, 3072), np.uint8)
    for name, data in zip(("data_batch_1", "data_batch_2", "test_batch"), pixels, strict=True):
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": [0, 1, 0, 1]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["airplane", "automobile"]}))
    source = torchvision_sets.cifar10(root=str(tmp_path), download=False)
    assert torch.equal(source.train.images, torch.from_numpy(pixels[:2]).view(8, 3, 32, 32))
    assert torch.equal(source.test.images, torch.from_numpy(pixels[2]).view(4, 3, 32, 32))
    assert source.train.images.is_contiguous()
    assert source.train.labels.tolist() == [0, 1, 0, 1] * 2
    assert source.classes == ("airplane", "automobile")


def test_the_stl10_files_are_read(tmp_path, monkeypatch):
    from torchvision.datasets import STL10

    monkeypatch.setattr(STL10, "train_list", [["train_X.bin", None], ["train_y.bin", None]])
    monkeypatch.setattr(STL10, "test_list", [["test_X.bin", None], ["test_y.bin", None]])
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    pixels = RANDOM.integers(0, 256, (2, 3, 96, 96), np.uint8)
    for part in ("train", "test"):
        (folder / f"{part}_X.bin").write_bytes(pixels.tobytes())
        (folder / f"{part}_y.bin").write_bytes(bytes([1, 10]))
    (folder / "class_names.txt").write_text("airplane\nbird\n")
    source = torchvision_sets.stl10(root=str(tmp_path), download=False)
    assert torch.equal(source.test.images, torch.from_numpy(pixels).transpose(2, 3))  # stored column by column
    assert source.test.labels.tolist() == [0, 9]
    assert source.classes == ("airplane", "bird")
    assert source.unlabelled is None
    monkeypatch.setattr(STL10, "train_list", [*STL10.train_list, ["unlabeled_X.bin", None]])
    (folder / "unlabeled_X.bin").write_bytes(pixels[::-1].tobytes())
    found = torchvision_sets.stl10(root=str(tmp_path), download=False, unlabelled=True).unlabelled
    assert torch.equal(found.images, torch.from_numpy(pixels[::-1].copy()).transpose(2, 3))
    assert found.labels.tolist() == [-1, -1]


def test_the_svhn_files_are_read(tmp_path, monkeypatch):
    savemat = pytest.importorskip("scipy.io").savemat
    from torchvision.datasets import SVHN

    monkeypatch.setattr(SVHN, "split_list", {part: ["", f"{part}_32x32.mat", None] for part in ("train", "test")})
    pixels = RANDOM.integers(0, 256, (32, 32, 3, 2), np.uint8)
    for part in ("train", "test"):
        savemat(tmp_path / f"{part}_32x32.mat", {"X": pixels, "y": np.array([[10], [3]])})
    source = torchvision_sets.svhn(root=str(tmp_path), download=False)
    assert torch.equal(source.train.images, torch.from_numpy(pixels).permute(3, 2, 0, 1))
    assert source.train.labels.tolist() == [0, 3]  # the files write the digit 0 as 10


def test_imagenet_is_streamed_from_the_unpacked_archives(tmp_path):
    torch.save(({"n01": ("tench", "Tinca tinca"), "n02": ("crane",)}, []), tmp_path / "meta.bin")
    for part in ("train", "val"):
        for wnid in ("n01", "n02"):
            (tmp_path / part / wnid).mkdir(parents=True)
            for number in range(3):
                pixels = RANDOM.integers(0, 256, (40, 60, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / wnid / f"{number}.JPEG")
    source = torchvision_sets.imagenet(root=str(tmp_path), image_size=32, workers=0)
    assert source.classes == ("tench, Tinca tinca", "crane")
    assert source.train.labels.tolist() == source.test.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert (len(source.train), source.train.channels, source.train.image_size) == (6, 3, 32)

    def first(images, train):
        torch.manual_seed(0)
        return next(batches(images, 6, order=None, device=torch.device("cpu"), drop_last=False, train=train))[0]

    assert first(source.train, train=True).shape == (6, 3, 32, 32)
    assert not torch.equal(first(source.train, train=True), first(source.train, train=False))
    assert torch.equal(first(source.train, train=True), first(source.train, train=True))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnist", "MNIST/raw/"),
        ("fashion_mnist", "FashionMNIST/raw/"),
        ("kmnist", "KMNIST/raw/"),
        ("cifar10", "cifar-10-batches-py/"),
        ("cifar100", "cifar-100-python/"),
        ("svhn", "_32x32.mat"),
        ("stl10", "stl10_binary/"),
    ],
)
def test_missing_data_says_what_was_looked_for_where_and_how_to_get_it(tmp_path, monkeypatch, name, file):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        getattr(torchvision_sets, name)(root="data", download=False)
    for part in (file, str(tmp_path / "data"), "dataset.download=true", "dataset.root"):
        assert part in str(error.value)
    assert not list(tmp_path.iterdir())  # nothing was made


def test_missing_imagenet_names_the_archives(tmp_path):
    with pytest.raises(UserError) as error:
        torchvision_sets.imagenet(root=str(tmp_path), image_size=224, workers=0)
    for part in ("ILSVRC2012_devkit_t12.tar.gz", "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", str(tmp_path)):
        assert part in str(error.value)
    assert "download" not in str(error.value)
