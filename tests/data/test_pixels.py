import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps

from effdl.data.pixels import deep_values, eight_bits, full_range, is_deep_color, scaled

RANDOM = np.random.default_rng(0)
MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"]
INTEGERS = "integers of 16 or 32 bits"


def eight(image, channels=1, ranges=None, orient=True):
    return np.asarray(eight_bits(image, channels, ranges or {}, orient=orient))


def saved(image, path, **options):
    image.save(path, **options)
    return Image.open(path)


@pytest.mark.parametrize(
    ("kind", "low", "high", "expected"),
    [
        (INTEGERS, 0, 255, (0, 255)),  # 8 bits in a file of 16
        (INTEGERS, 0, 256, (0, 511)),
        (INTEGERS, 3, 4000, (0, 4095)),  # 12 bits
        (INTEGERS, 0, 65535, (0, 65535)),
        (INTEGERS, 0, 2**32 - 1, (0, 2**32 - 1)),
        (INTEGERS, -1000, 3000, (-1000, 3000)),
        ("floats", 0.0, 1.0, (0, 1)),
        ("floats", 0.1, 0.5, (0, 1)),
        ("floats", 0.0, 0.4, (0, 0.4)),
        ("floats", 0.0, 1.3, (0, 1.3)),
        ("floats", 10.0, 200.0, (0, 255)),
        ("floats", 10.0, 2000.0, (10, 2000)),
        ("floats", -1.0, 1.0, (-1, 1)),
        ("floats", -3.0, -3.0, (-3, -2)),
    ],
)
def test_the_range_is_that_of_the_bits_or_of_the_data(kind, low, high, expected):
    assert full_range(kind, low, high) == expected


def test_scaling_is_linear_and_clips_a_little():
    assert scaled(np.array([-1000.0, 40, 255, 1000, 70000]), -1000, 70000).tolist() == [0, 4, 5, 7, 255]
    assert scaled(np.array([-0.02, 0.0, 0.5, 1.0, 1.5]), 0, 1).tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("values", [[0.5, 2.5], [-1.5, 0.5]])
def test_another_unit_is_refused(values):
    with pytest.raises(ValueError, match=r"its pixels are .*, far outside of those of the other images, 0 to 1"):
        scaled(np.array(values), 0, 1)


@pytest.mark.parametrize(
    ("dtype", "sample_format", "values"),
    [
        (np.uint16, 1, [0, 40, 65535]),
        (np.int16, 2, [-1000, 40, 32767]),
        (np.uint32, 1, [0, 70000, 4_000_000_000]),
        (np.int32, 2, [-1000, 40, 70000]),
        (np.float32, 3, [-0.5, 0.25, 1e6]),
    ],
)
def test_values_are_those_of_the_file(tmp_path, tiff, dtype, sample_format, values):
    pixels = np.array([values], dtype)
    tiff(tmp_path / "a.tiff", pixels, sample_format)
    assert deep_values(Image.open(tmp_path / "a.tiff")).tolist() == [values]


@pytest.mark.parametrize(("pixels", "name"), [(np.uint16, "a.png"), (np.uint16, "a.jp2"), (np.float32, "a.pfm")])
def test_values_of_other_formats(tmp_path, pixels, name):
    values = RANDOM.integers(0, 60000, (8, 8)).astype(pixels)
    assert np.array_equal(deep_values(saved(Image.fromarray(values), tmp_path / name)), values)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_refused(bad):
    with pytest.raises(ValueError, match=r"no finite numbers \(mode F\)"):
        eight(Image.fromarray(np.array([[0, bad]], np.float32)), ranges={"floats": (0, 1)})


def test_a_deep_image_without_a_range_is_refused():
    with pytest.raises(ValueError, match=r"it has floats \(mode F\), whose range is not known \(allowed: 8 bits\)"):
        eight(Image.new("F", (2, 2)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_all_modes_of_eight_bits_keep_their_color(mode, channels):
    color = (255, 255, 255) if mode == "1" else (200, 120, 40)
    image = Image.new("RGB", (4, 4), color)
    image = {"PA": image.convert("L").convert("LA"), "RGBa": image.convert("RGBA")}.get(mode, image)
    image = image.convert(mode, palette=Image.Palette.ADAPTIVE)
    grey = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    expected = (grey,) if channels == 1 else (grey,) * 3 if mode in ("L", "LA", "PA") else color
    found = eight(image, channels).reshape(16, channels)
    assert np.abs(found - np.array(expected)).max() <= 4


def test_premultiplied_grey():
    image = Image.merge("LA", [Image.new("L", (2, 2), 200), Image.new("L", (2, 2), 255)])
    assert eight(image.convert("La")).max() == eight(image).max() == 200


def test_what_is_transparent_is_black_whatever_color_it_hides(tmp_path):
    palette = Image.new("P", (4, 4))
    palette.putpalette([0, 0, 0, 250, 10, 20])
    palette.paste(1, (0, 0, 2, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for transparency in (0, bytes([255, 128])):
            found = eight(saved(palette, tmp_path / "a.png", transparency=transparency), 3)
            assert found[0, 3].tolist() == [0, 0, 0]
            assert found[0, 0].tolist() == ([250, 10, 20] if transparency == 0 else [125, 5, 10])
    hidden = Image.new("RGBA", (2, 2), (250, 10, 20, 0))
    assert eight(saved(hidden, tmp_path / "b.png"), 3).max() == 0
    opaque = Image.fromarray(RANDOM.integers(0, 256, (4, 4, 3), np.uint8))
    assert np.array_equal(eight(opaque.convert("RGBA"), 3), opaque)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.jpg"])
def test_images_stand_upright(tmp_path, orientation, name):
    pixels = Image.fromarray(RANDOM.integers(0, 256, (8, 16, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = saved(pixels, tmp_path / name, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(eight(Image.open(tmp_path / name), 3), expected)
    assert expected.shape == ((8, 16, 3) if orientation < 5 else (16, 8, 3))
    if name != "a.tiff":  # which Pillow turns itself
        assert np.array_equal(eight(Image.open(tmp_path / name), 3, orient=False), Image.open(tmp_path / name))


def test_damaged_exif_data_harm_no_pixel(tmp_path):
    Image.new("L", (4, 4), 9).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0junk")
    assert eight(Image.open(tmp_path / "a.png")).max() == 9


def test_deep_colors_are_noticed(tmp_path, color_png):
    pixels = np.full((2, 2, 3), 4000, ">u2")
    (tmp_path / "a.ppm").write_bytes(b"P6 2 2 65535\n" + pixels.tobytes())
    assert not is_deep_color(Image.open(tmp_path / "a.ppm"))  # which Pillow scales itself
    assert not is_deep_color(Image.new("RGB", (2, 2)))
    color_png(tmp_path / "a.png", 4000)
    assert is_deep_color(Image.open(tmp_path / "a.png"))
