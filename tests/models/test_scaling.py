import pytest

from effdl.models.scaling import padding_5x5, scaled


@pytest.mark.parametrize(
    ("channels", "width", "multiple", "expected"),
    [(64, 1.0, 1, 64), (300, 0.5, 1, 150), (16, 0.01, 1, 1), (24, 0.5, 8, 16), (16, 0.35, 8, 8), (1280, 1.4, 8, 1792)],
)
def test_scaled(channels, width, multiple, expected):
    assert scaled(channels, width, multiple) == expected


def test_scaled_is_the_rule_of_the_mobilenet_reference_code():
    from torchvision.models._utils import _make_divisible

    for channels in (16, 24, 32, 64, 96, 160, 320, 1280):
        for width in (0.1, 0.25, 0.35, 0.5, 0.75, 1.0, 1.4):
            assert scaled(channels, width, 8) == _make_divisible(channels * width, 8)


def test_only_images_below_28_pixels_are_padded():
    assert [padding_5x5(size) for size in (8, 27, 28, 32)] == [2, 2, 0, 0]
