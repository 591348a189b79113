import numpy as np
import pytest
import torch
from PIL import Image

from effdl.data.streamed import StreamedImages, centre_box, random_box
from effdl.utils.errors import UserError


def stream(root, *files, channels=3, image_size=8, **options):
    return StreamedImages(str(root), files, channels, image_size, workers=0, **options)


def test_an_image_of_the_right_size_keeps_its_pixels(tmp_path):
    pixels = torch.randint(256, (8, 8, 3), dtype=torch.uint8)
    Image.fromarray(pixels.numpy()).save(tmp_path / "a.png")
    assert torch.equal(stream(tmp_path, "a.png").decode(0), pixels.permute(2, 0, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_ranges_and_orientation_are_those_of_the_set(tmp_path, channels):
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1040).save(tmp_path / "a.png", exif=exif)
    images = stream(tmp_path, "a.png", channels=channels, ranges={"integers of 16 or 32 bits": (0, 65535)}, orient=True)
    expected = torch.arange(63, -1, -1).view(1, 8, 8).mul(1040 / 257).round().to(torch.uint8)
    assert torch.equal(images.decode(0), expected.expand(channels, -1, -1))
    with pytest.raises(UserError, match=r"a\.png cannot be read as an image: it has integers of 16 or 32 bits"):
        stream(tmp_path, "a.png").decode(0)


@pytest.mark.parametrize(("resize", "centre"), [(8, 1.0), (16, 0.5)])
def test_without_a_seed_it_is_resize_and_centre_crop(tmp_path, resize, centre):
    from torchvision.transforms import v2

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 80, 3), np.uint8))
    image.save(tmp_path / "a.png")
    expected = v2.CenterCrop(8)(v2.PILToTensor()(v2.Resize(resize)(image)))
    difference = stream(tmp_path, "a.png", centre=centre).decode(0).int() - expected.int()
    assert difference.abs().max() <= 1  # rounding
    assert centre_box(256, 300, 224 / 256) == (16, 38, 240, 262)


def test_an_unreadable_file_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"not an image")
    with pytest.raises(UserError, match=str(tmp_path / "a.jpg")):
        stream(tmp_path, "a.jpg").decode(0)


def test_a_truncated_file_is_named(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:2000])
    with pytest.raises(UserError, match=r"a\.jpg cannot be read as an image"):
        stream(tmp_path, "a.jpg").decode(0)


def test_random_boxes_have_the_published_areas_and_shapes():
    generator = torch.Generator().manual_seed(0)
    boxes = torch.tensor([random_box(400, 300, generator) for _ in range(2000)], dtype=torch.float64)
    left, top, right, bottom = boxes.T
    assert left.min() >= 0
    assert top.min() >= 0
    assert right.max() <= 400
    assert bottom.max() <= 300
    area = (right - left) * (bottom - top) / 400 / 300
    aspect = (right - left) / (bottom - top)
    assert 0.079 < area.min() < 0.1
    assert 0.74 < aspect.min() < 0.77
    assert 1.30 < aspect.max() < 1.35
    assert random_box(1000, 10, generator) == (495, 0, 505, 10)  # nothing fits: the centre square


def test_a_random_crop_is_decided_by_its_seed(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    images = stream(tmp_path, "a.png", random_crop=True)
    assert torch.equal(images.decode(0, seed=1), images.decode(0, seed=1))
    assert not torch.equal(images.decode(0, seed=1), images.decode(0, seed=2))
    assert torch.equal(images.decode(0), stream(tmp_path, "a.png").decode(0))
