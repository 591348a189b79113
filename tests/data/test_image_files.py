import pytest
from PIL import Image

from effdl.data.image_files import counted, for_all, opened, shown
from effdl.utils.errors import UserError


def test_an_open_image_has_its_header(tmp_path):
    Image.new("L", (3, 4)).save(tmp_path / "a.png")
    with opened(str(tmp_path / "a.png")) as image:
        assert image.size == (3, 4)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"<html>", "its content is of no format that is read"), (None, "there is no such file")]
)
def test_what_is_no_image_is_named_once(tmp_path, content, reason):
    path = tmp_path / "a.jpg"
    if content:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f"{path} cannot be read as an image: .*{reason}"), opened(str(path)):
        pass


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_order(workers):
    assert for_all(lambda number: 2 * number, range(1234), workers, "Doubling") == list(range(0, 2468, 2))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([7], "7 cannot be read as an image: odd"),
        ([7, 150], r"7 cannot be read as an image: odd \(1 more cannot be read: 150\)"),
        (range(6), r"0 cannot be read as an image: odd \(5 more cannot be read: 1, 2, 3, \.\.\.\)"),
    ],
)
def test_all_that_cannot_be_read_is_said_at_once(bad, message):
    def read(number):
        if number in bad:
            raise UserError(f"{number} cannot be read as an image: odd")

    with pytest.raises(UserError, match=f"^{message}$"):
        for_all(read, range(300), 2, "Reading")


def test_paths_of_any_bytes_can_be_shown():
    path = b"a/\xff\xc3\xa4.png".decode(errors="surrogateescape")
    assert shown(path) == "a/\\xffä.png"
    assert counted([path], "image") == "1 image, such as a/\\xffä.png"
    assert counted(["b"] * 1200, "image") == "1,200 images, such as b"
