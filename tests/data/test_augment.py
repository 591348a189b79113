import pytest
import torch
import torch.nn.functional as F

from effdl.data.augment import cutmix, cutout, flip_crop, mixup, randaugment, trivialaugment


def batch(count=64, channels=3, size=12, dtype=torch.uint8):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (count, channels, size, size + 2), dtype=torch.uint8, generator=generator)
    return images.to(dtype), torch.arange(count) % 10


METHODS = {
    "flip_crop": lambda *batch: flip_crop(*batch, flip=True, pad=2),
    "cutout": lambda *batch: cutout(*batch, size=4),
    "mixup": lambda *batch: mixup(*batch, alpha=1.0, classes=10),
    "cutmix": lambda *batch: cutmix(*batch, alpha=1.0, classes=10),
    "randaugment": lambda *batch: randaugment(*batch, num_ops=2, magnitude=9),
    "trivialaugment": trivialaugment,
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_of_a_batch_gets_its_own_draw(method, dtype, channels):
    image = batch(1, channels, dtype=dtype)[0].repeat(32, 1, 1, 1)
    if method in ("mixup", "cutmix"):
        image[1::2] = 255 - image[1::2]
    before = image.clone()
    torch.manual_seed(0)
    images, _ = METHODS[method](image, torch.arange(32) % 10)
    assert images.shape == image.shape
    assert len({one.numpy().tobytes() for one in images}) > 4
    assert torch.equal(image, before)  # the batch given is left as it was


@pytest.mark.parametrize("method", ["flip_crop", "cutout"])  # the Beta distribution has no meta kernel
def test_everything_stays_on_the_device_of_the_images(method):
    images, targets = METHODS[method](batch()[0].to("meta"), torch.empty(64, 10, device="meta"))
    assert images.device.type == targets.device.type == "meta"


@pytest.mark.parametrize("method", METHODS)
def test_the_seed_decides(method):
    def run(seed):
        torch.manual_seed(seed)
        return METHODS[method](*batch())

    for first, again in zip(run(0), run(0), strict=True):
        assert torch.equal(first, again)
    assert not torch.equal(run(0)[0], run(1)[0])


@pytest.mark.parametrize(("flip", "pad"), [(True, 2), (False, 3), (True, 0)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_flip_crop_equals_one_image_at_a_time(flip, pad, dtype):
    images, targets = batch(dtype=dtype)
    torch.manual_seed(0)
    out, same = flip_crop(images, targets, flip=flip, pad=pad)
    torch.manual_seed(0)
    top, left = torch.randint(2 * pad + 1, (2, 64, 1))
    mirrored = torch.rand(64, 1) < (0.5 if flip else 0.0)
    for i in range(64):
        image = F.pad(images[i], (pad,) * 4)
        image = image.flip(-1) if mirrored[i] else image
        expected = image[:, top[i] : top[i] + 12, left[i] : left[i] + 14]
        assert torch.equal(out[i], expected)
    assert torch.equal(same, targets)
    assert mirrored.any() == flip
    if pad:
        assert set(top.flatten().tolist()) == set(range(2 * pad + 1))


@pytest.mark.parametrize("size", [1, 5, 6, 40])
def test_cutout_zeroes_one_square_that_may_leave_the_image(size):
    images, targets = batch(200)
    out, _ = cutout(images, targets, size=size)
    zero = (out == 0).all(dim=1)  # the images have no zeros of their own
    assert torch.equal(out, images.masked_fill(zero[:, None], 0))
    height, width = zero.any(2).sum(1), zero.any(1).sum(1)
    assert torch.equal(zero.sum((1, 2)), height * width)  # a full rectangle
    assert height.max() == min(size, 12)
    assert width.max() == min(size, 14)
    assert height.min() >= min((size + 1) // 2, 12 - size // 2 if size < 12 else 1)
    if 1 < size < 12:
        assert ((height == size) & (width == size)).any()
        assert (height < size).any()


def test_mixup_blends_images_and_targets_with_the_same_weight():
    torch.manual_seed(0)
    images = torch.arange(64.0).view(64, 1, 1, 1).expand(64, 3, 4, 4)
    out, probabilities = mixup(images, torch.arange(64), alpha=1.0, classes=64)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(64))
    assert probabilities.min() >= 0
    # the image's value is its number, so the expected value under the target must be the pixel
    torch.testing.assert_close(out[:, 0, 0, 0], probabilities @ torch.arange(64.0))
    assert (probabilities > 0).sum(1).max() == 2


def test_mixup_weights_follow_the_beta_distribution():
    torch.manual_seed(0)
    images, targets = torch.zeros(4000, 1, 1, 1), torch.zeros(4000, dtype=torch.int64)
    images[0], alpha = 1.0, 0.3
    _, probabilities = mixup(images, torch.arange(4000), alpha=alpha, classes=4000)
    weights = probabilities.diagonal()
    assert abs(weights.mean() - 0.5) < 0.03
    assert abs(weights.var() - 1 / (4 * (2 * alpha + 1))) < 0.01
    assert mixup(images, targets, alpha=alpha, classes=3)[1].tolist() == [[1, 0, 0]] * 4000


def test_cutmix_targets_are_the_areas():
    torch.manual_seed(0)
    images = torch.arange(64, dtype=torch.uint8).view(64, 1, 1, 1).expand(64, 3, 16, 16)
    out, probabilities = cutmix(images, torch.arange(64), alpha=1.0, classes=64)
    assert out.dtype == torch.uint8
    for i in range(64):
        for value in out[i].unique().tolist():
            assert (out[i, 0] == value).sum() / 256 == probabilities[i, value]  # exact: 256 pixels
    assert (probabilities.sum(1) == 1).all()
    assert ((probabilities > 0).sum(1) == 2).sum() > 50


def test_mixed_targets_can_be_mixed_again():
    images, targets = batch()
    images, probabilities = cutmix(images, targets, alpha=1.0, classes=10)
    images, again = mixup(images, probabilities, alpha=1.0, classes=10)
    torch.testing.assert_close(again.sum(1), torch.ones(64))
    assert torch.equal(randaugment(images, again, num_ops=1, magnitude=30)[1], again)
