import numpy as np
import pytest
import torch
from PIL import Image

from effdl.data.loader import batches, normalize
from effdl.data.source import Images
from effdl.data.streamed import StreamedImages
from effdl.utils.errors import UserError

CPU = torch.device("cpu")


def in_memory(count=50):
    return Images(torch.randint(256, (count, 3, 4, 4), dtype=torch.uint8), torch.arange(count))


@pytest.fixture
def streamed(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    files = tuple(f"{number}.png" for number in range(20))

    def images(workers, random_crop=False):
        return Images(StreamedImages(str(tmp_path), files, 3, 16, workers, random_crop=random_crop), torch.arange(20))

    images.pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    return images


def collect(images, batch_size, order=None, drop_last=False, train=False):
    found = list(batches(images, batch_size, order=order, device=CPU, drop_last=drop_last, train=train))
    return torch.cat([pixels for pixels, _ in found]), torch.cat([labels for _, labels in found]), len(found)


@pytest.mark.parametrize("order", [None, torch.randperm(50), torch.tensor([3, 3, 49])])
def test_every_index_comes_once_in_order(order):
    images = in_memory()
    pixels, labels, _ = collect(images, 16, order)
    expected = torch.arange(50) if order is None else order
    assert torch.equal(labels, expected)
    assert torch.equal(pixels, images.images[expected])


@pytest.mark.parametrize(("size", "kept", "dropped"), [(16, 4, 3), (50, 1, 1), (25, 2, 2)])
def test_drop_last(size, kept, dropped):
    assert collect(in_memory(), size)[2] == kept
    assert collect(in_memory(), size, torch.randperm(50), drop_last=True)[2] == dropped


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_batches_are_those_in_memory(streamed, workers):
    order = torch.randperm(20)
    pixels, labels, count = collect(streamed(workers), 8, order)
    assert torch.equal(labels, order)
    assert torch.equal(pixels, streamed.pixels[order])
    assert count == 3
    assert collect(streamed(workers), 8, drop_last=True)[2] == 2


def test_random_crops_depend_on_the_seed_but_not_on_the_workers(streamed):
    def crops(seed, workers):
        torch.manual_seed(seed)
        return collect(streamed(workers, random_crop=True), 8, train=True)[0]

    assert torch.equal(crops(0, workers=0), crops(0, workers=2))
    assert not torch.equal(crops(0, workers=0), crops(1, workers=0))


def test_evaluation_neither_crops_nor_moves_the_global_generator(streamed):
    state = torch.get_rng_state()
    assert torch.equal(collect(streamed(2, random_crop=True), 8)[0], streamed.pixels)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_unreadable_image_is_named_from_a_worker_too(streamed):
    images = streamed(2)
    with open(f"{images.images.root}/13.png", "wb") as file:
        file.write(b"\x89PNG damaged")
    with pytest.raises(UserError) as error:
        collect(images, 8)
    assert str(error.value).startswith(f"{images.images.root}/13.png cannot be read")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalize_is_the_formula(dtype):
    images = torch.randint(256, (5, 3, 6, 6), dtype=torch.uint8).to(dtype)
    before = images.clone()
    mean, std = (120.0, 110.5, 3.0), (60.0, 1.0, 255.0)
    out = normalize(images, mean, std)
    expected = (images.double() - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(images, before)


def test_images_can_be_moved():
    images = in_memory(3).to(torch.device("meta"))
    assert images.images.device.type == images.labels.device.type == "meta"


@pytest.mark.cuda
@pytest.mark.parametrize("held_on", ["cpu", "cuda"])
def test_batches_on_a_gpu_are_those_of_the_cpu(cuda, held_on):
    images, order = in_memory(), torch.randperm(50)
    common = {"batch_size": 16, "order": order, "drop_last": False, "train": True}
    expected = list(batches(images, device=CPU, **common))
    found = list(batches(images.to(torch.device(held_on)), device=cuda, **common))
    assert len(found) == len(expected) == 4
    for (pixels, labels), (expected_pixels, expected_labels) in zip(found, expected, strict=True):
        assert pixels.is_cuda
        assert labels.is_cuda
        assert torch.equal(pixels.cpu(), expected_pixels)
        assert torch.equal(labels.cpu(), expected_labels)
    normalized = normalize(found[0][0], (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    torch.testing.assert_close(normalized.cpu(), normalize(expected[0][0], (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)))
