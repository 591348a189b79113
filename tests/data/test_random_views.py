import pytest
import torch

from effdl.data.random_views import random_views

PLAIN = {"flip": False, "rotate": 0.0, "color": 0.0, "grayscale": 0.0, "erase": 1e-9, "blur": 0.0}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def ramp(count, size=32, channels=3):
    """Images whose pixels say where they are: 8 times the column, from 4."""
    columns = 8.0 * torch.arange(size).repeat(size, 1) + 4
    return columns.expand(count, channels, -1, -1).clone()


def test_each_view_of_each_image_has_its_own_draw():
    images = torch.randint(256, (1, 3, 32, 32), dtype=torch.uint8).expand(8, -1, -1, -1)
    views, targets = random_views(images, torch.arange(8), flip=True)
    assert (views.shape, views.dtype, targets.tolist()) == ((8, 2, 3, 32, 32), torch.float32, list(range(8)))
    assert len(views.flatten(0, 1).flatten(1).unique(dim=0)) == 16
    assert views.min() >= 0
    assert views.max() <= 255


def test_small_views_are_the_same_crops_at_a_lower_resolution():
    images = ramp(40)
    drawn = [random_views(images, torch.zeros(40), **{**PLAIN, "count": 3, "size": size})[0] for size in (None, 16)]
    assert [tuple(views.shape) for views in drawn] == [(40, 3, 3, 32, 32), (40, 3, 3, 16, 16)]
    torch.manual_seed(1)
    large, _ = random_views(images, torch.zeros(40), **PLAIN)
    torch.manual_seed(1)
    small, _ = random_views(images, torch.zeros(40), size=16, **PLAIN)
    middle = torch.nn.functional.avg_pool2d(large.flatten(0, 1), 2)[..., 1:-1, 1:-1]
    assert torch.allclose(small.flatten(0, 1)[..., 1:-1, 1:-1], middle, atol=1e-2)  # a ramp has no finer details


def test_crops_are_straight_resized_parts_of_the_image():
    views, _ = random_views(ramp(200), torch.zeros(200), crop=0.25, **PLAIN)
    views = views.flatten(0, 1)
    steps = views[:, 0, 16, 8:24].diff(dim=1)
    width = steps.mean(1) / 8  # part of the image's width
    assert torch.allclose(steps, steps.mean(1, keepdim=True).expand_as(steps), atol=1e-3)
    inner = views[:, :, 2:-2]  # the border may blend with the zeros around the image
    assert torch.allclose(inner, inner[:, :1, :1].expand_as(inner), atol=1e-3)
    assert width.min() >= (0.25 * 3 / 4) ** 0.5 - 1e-3
    assert width.max() <= 1 + 1e-3
    left, right = views[:, 0, 16, 8] - 8.5 * 8 * width, views[:, 0, 16, 23] + 8.5 * 8 * width
    assert left.min() >= -1e-2
    assert right.max() <= 256 + 1e-2
    assert views[:, 0, 16, 16].std() > 10  # from many places


@pytest.mark.parametrize("flip", [True, False])
def test_only_images_that_may_be_mirrored_are(flip):
    views, _ = random_views(ramp(300), torch.zeros(300), **{**PLAIN, "flip": flip})
    mirrored = (views[:, :, 0, 16, 20] < views[:, :, 0, 16, 12]).float().mean()
    assert mirrored == pytest.approx(0.5 * flip, abs=0.1 * flip)


def test_turns_stay_within_the_angle():
    views, _ = random_views(ramp(300), torch.zeros(300), **{**PLAIN, "rotate": 30.0, "crop": 1.0})
    across, down = (views[:, :, 0, 16, 20] - views[:, :, 0, 16, 12]), (views[:, :, 0, 20, 16] - views[:, :, 0, 12, 16])
    angles = torch.atan2(down, across).rad2deg()
    assert angles.abs().max() <= 37  # the sides of a crop are up to 4 to 3
    assert angles.abs().max() > 20
    assert angles.mean().abs() < 3


def test_gray_views_have_three_equal_channels_of_the_same_luminance():
    images = torch.rand(50, 3, 1, 1).expand(-1, -1, 16, 16) * 200 + 20
    views, _ = random_views(images, torch.zeros(50), **{**PLAIN, "grayscale": 1.0, "crop": 1.0})
    luma = 0.299 * images[:, 0, 8, 8] + 0.587 * images[:, 1, 8, 8] + 0.114 * images[:, 2, 8, 8]
    assert torch.allclose(views[:, 0, :, 8, 8], luma[:, None].expand(-1, 3), atol=0.1)


def test_a_change_of_hue_and_saturation_keeps_the_luminance():
    """Of one color all over, contrast changes nothing and brightness all channels by one factor."""
    images = torch.full((400, 3, 4, 4), 100.0)
    views, _ = random_views(images, torch.zeros(400), **{**PLAIN, "color": 0.5, "crop": 1.0})
    pixels = views[:, 0, :, 2, 2]
    assert torch.allclose(pixels, pixels[:, :1].expand(-1, 3), atol=0.1)  # gray stays gray
    factors = pixels[:, 0] / 100
    assert factors.min() > 0.6 - 1e-3
    assert factors.max() < 1.4 + 1e-3
    assert (factors - 1).abs().lt(1e-3).float().mean() == pytest.approx(0.2, abs=0.06)  # the others are jittered


def test_blur_spares_what_is_even_and_lowers_contrast():
    even, noise = torch.full((4, 3, 80, 80), 50.0), torch.randint(256, (4, 3, 80, 80)).float()
    options = {**PLAIN, "blur": 1.0, "crop": 1.0}
    flat = random_views(even, torch.zeros(4), **options)[0][..., 8:-8, 8:-8]
    assert torch.allclose(flat, torch.full_like(flat, 50.0), atol=1e-3)
    sharp, soft = (random_views(noise, torch.zeros(4), **{**options, "blur": part})[0].std() for part in (0.0, 1.0))
    assert soft < 0.7 * sharp


def test_erased_boxes_are_no_larger_than_asked_for():
    images = torch.full((300, 1, 20, 20), 100, dtype=torch.uint8)
    views, _ = random_views(images, torch.zeros(300), **{**PLAIN, "erase": 0.25, "crop": 0.5})
    zeros = (views[..., 1:-1, 1:-1] == 0).flatten(3).float().mean(3)
    assert 0.2 < zeros.max() <= 0.31
    assert zeros.min() == 0
