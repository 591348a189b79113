import numpy as np
import pytest
from PIL import Image

from effdl.data.survey import notes_on, ranges_of, read_headers
from effdl.utils.errors import UserError

RANDOM = np.random.default_rng(0)


def survey(folder):
    paths = sorted(map(str, folder.iterdir()))
    headers = read_headers(paths, workers=2)
    ranges, notes = ranges_of(paths, headers, workers=2)
    return headers, ranges, notes + notes_on(paths, headers)


def test_headers_say_size_and_type(tmp_path):
    Image.new("L", (3, 4)).save(tmp_path / "0.png")
    Image.new("F", (5, 5)).save(tmp_path / "1.tiff")
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(tmp_path / "2.png")
    headers, ranges, _ = survey(tmp_path)
    assert [header.size for header in headers] == [(3, 4), (5, 5), (2, 2)]
    assert [header.deep for header in headers] == [None, "floats", "integers of 16 or 32 bits"]
    assert set(ranges) == {"floats", "integers of 16 or 32 bits"}


def test_images_of_a_type_share_a_range(tmp_path):
    for number, high in enumerate((0.2, 0.5, 0.9)):
        values = np.linspace(0, high, 64, dtype=np.float32).reshape(8, 8)
        Image.fromarray(values).save(tmp_path / f"{number}.tiff")
    _, ranges, notes = survey(tmp_path)
    assert ranges == {"floats": (0, 1)}
    assert notes == [
        f"3 images, such as {tmp_path}/0.tiff, of floats, hold 0 to 0.9: in all of them, 0 to 1 becomes 0 to 255"
    ]


def test_outliers_that_leave_few_values_are_said(tmp_path):
    values = RANDOM.random((8, 8)).astype(np.float32)
    values[0, 0] = -9999
    Image.fromarray(values).save(tmp_path / "0.tiff")
    _, ranges, notes = survey(tmp_path)
    assert ranges["floats"] == pytest.approx((-9999, values.max()))
    assert "become 1 of 256 values: clip the outliers" in notes[1]


def test_transparency_and_frames_are_said(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "0.png")
    Image.new("RGBA", (2, 2)).save(tmp_path / "1.png")
    frames = [Image.new("L", (2, 2), grey) for grey in (1, 2)]
    frames[0].save(tmp_path / "2.tiff", save_all=True, append_images=frames[1:])
    assert survey(tmp_path)[2] == [
        f"1 image, such as {tmp_path}/1.png, may be transparent: what is becomes black",
        f"1 image, such as {tmp_path}/2.tiff, of several frames: the first is read",
    ]


def test_colors_of_sixteen_bits(tmp_path, color_png):
    color_png(tmp_path / "0.png", 4000)
    with pytest.raises(UserError, match=r"0\.png has colors of 16 bits, of which the upper 8 can be read.*below 64"):
        survey(tmp_path)
    color_png(tmp_path / "1.png", 40000)
    assert survey(tmp_path)[2] == [f"2 images, such as {tmp_path}/0.png, of 16 bits per color: the upper 8 are read"]


def test_pixels_that_are_no_numbers_are_named(tmp_path):
    Image.fromarray(np.full((2, 2), np.nan, np.float32)).save(tmp_path / "0.tiff")
    with pytest.raises(UserError, match=r"0\.tiff cannot be read as an image: it has pixels that are no finite"):
        survey(tmp_path)
