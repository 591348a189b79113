import os
import socket

import pytest

from effdl.data.class_folders import class_folders
from effdl.utils.errors import UserError


def make(root, *files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"x" * (len(file)))
    return root


def paths(images):
    return [image.path for image in images]


@pytest.fixture
def root(tmp_path):
    return make(tmp_path / "set", "train/cat/1.png", "train/dog/1.png", "test/cat/2.png", "test/dog/2.png")


def left_out(root):
    return {reason: sorted(files) for reason, files in class_folders(str(root)).left_out.items()}


def test_files_are_sorted_with_what_the_file_system_says(root):
    found = class_folders(str(root))
    assert paths(found.train) == ["train/cat/1.png", "train/dog/1.png"]
    assert paths(found.test) == ["test/cat/2.png", "test/dog/2.png"]
    assert [image.class_name for image in found.train] == ["cat", "dog"]
    assert found.train[0].size == len("train/cat/1.png")
    assert found.train[0].changed == os.stat(root / "train/cat/1.png").st_mtime_ns
    assert found.notes() == []


def test_subfolders_of_a_class_are_its_images(tmp_path):
    root = make(tmp_path / "set", "cat/2020/b/1.png", "cat/2020/a/1.png", "cat/0.png", "cat/9.png", "dog/x/1.png")
    found = class_folders(str(root))
    assert paths(found.train) == ["cat/0.png", "cat/9.png", "cat/2020/a/1.png", "cat/2020/b/1.png", "dog/x/1.png"]
    assert [image.class_name for image in found.train] == ["cat"] * 4 + ["dog"]


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Valid", "testing", "Test"])
@pytest.mark.parametrize("train", ["train", "Training"])
def test_other_names_of_the_splits(root, train, name):
    (root / "train").rename(root / train)
    (root / "test").rename(root / name)
    found = class_folders(str(root))
    assert paths(found.train) == [f"{train}/cat/1.png", f"{train}/dog/1.png"]
    assert paths(found.test) == [f"{name}/cat/2.png", f"{name}/dog/2.png"]


def test_a_validation_folder_beside_a_test_folder_is_read(root):
    make(root, "valid/cat/3.png", "labels.csv", ".git/x")
    assert paths(class_folders(str(root)).val) == ["valid/cat/3.png"]
    assert left_out(root) == {"not in train or valid or test": ["labels.csv"], "hidden": [".git"]}


def test_a_validation_folder_without_classes_is_left_out(root):
    make(root, "val/3.png")
    assert class_folders(str(root)).val == []
    assert left_out(root) == {"not in train or test": ["val"]}


def test_a_validation_folder_that_links_to_the_test_folder_is_refused(root):
    (root / "val").symlink_to(root / "test")
    with pytest.raises(UserError, match=r"val and test are one folder \(allowed: two, or no val\)"):
        class_folders(str(root))


def test_two_folders_of_one_split_are_refused(root):
    make(root, "valid/cat/3.png", "val/cat/3.png")
    with pytest.raises(UserError, match="val and valid are one split"):
        class_folders(str(root))


def test_a_class_may_be_called_train(tmp_path):
    root = make(tmp_path / "set", "train/1.png", "car/1.png")
    assert [image.class_name for image in class_folders(str(root)).train] == ["car", "train"]


@pytest.mark.parametrize("files", [["test/cat/1.png", "val/cat/1.png"], ["train/1.png", "test/1.png"]])
def test_splits_are_no_classes(tmp_path, files):
    with pytest.raises(UserError, match=r"found only (test, val|test, train) \(allowed: train/CLASS/\*"):
        class_folders(str(make(tmp_path / "set", *files)))


def test_a_folder_above_the_data_set_is_named(tmp_path):
    root = make(tmp_path / "above", "set/cat/1.png", "set/dog/1.png")
    with pytest.raises(UserError, match=rf"the only class is set.*, such as dataset\.root={root}/set if"):
        class_folders(str(root))
    with pytest.raises(UserError, match=r"the only class is cat; allowed is a folder of two or more$"):
        class_folders(str(make(tmp_path / "one", "train/cat/1.png", "test/cat/1.png")))


SUFFIXES = [
    "jpg",
    "JPEG",
    "jfif",
    "png",
    "gif",
    "bmp",
    "webp",
    "avif",
    "tif",
    "tiff",
    "jp2",
    "ppm",
    "pgm",
    "tga",
    "qoi",
]


def test_suffixes_of_images(root):
    make(root, *(f"train/cat/{number}.{suffix}" for number, suffix in enumerate(SUFFIXES)))
    assert len(class_folders(str(root)).train) == 2 + len(SUFFIXES)


def test_what_is_left_out_is_counted_by_reason(root):
    make(root, "train/cat/a.heic", "train/cat/b.txt", "train/cat/.DS_Store", "train/cat/._1.png", "train/1.png")
    make(root, "train/__MACOSX/cat/._1.png", "train/dog/.cache/1.png")
    (root / "test/dog/empty.png").touch()
    os.symlink("nowhere", root / "test/dog/broken.png")
    os.symlink("loop.png", root / "test/dog/loop.png")
    os.symlink("..", root / "test/dog/above")
    os.symlink("../dog", root / "test/dog/itself")
    os.mkfifo(root / "test/dog/pipe.png")
    os.symlink("/dev/zero", root / "test/dog/zero.png")
    assert left_out(root) == {
        "of no suffix of an image that is read": ["train/cat/a.heic", "train/cat/b.txt"],
        "hidden": ["train/__MACOSX", "train/cat/.DS_Store", "train/cat/._1.png", "train/dog/.cache"],
        "outside of the class folders": ["train/1.png"],
        "empty": ["test/dog/empty.png"],
        "links to nothing or to themselves": ["test/dog/broken.png", "test/dog/loop.png"],
        "links back into a folder that is read already": ["test/dog/above", "test/dog/itself"],
        "devices, pipes and the like": ["test/dog/pipe.png", "test/dog/zero.png"],
    }
    found = class_folders(str(root))
    assert len(found.train) == len(found.test) == 2
    assert "left out, links to nothing or to themselves: 2, such as test/dog/broken.png" in found.notes()


def test_links_to_images_and_folders_are_followed(root, tmp_path):
    elsewhere = make(tmp_path / "elsewhere", "a/1.png", "a/2.png")
    os.symlink(elsewhere / "a", root / "train/cat/more")
    os.symlink("1.png", root / "train/cat/again.png")
    os.symlink(elsewhere / "a", root / "train/owl")
    names = [image.path.removeprefix("train/") for image in class_folders(str(root)).train]
    cats, owls = ["cat/1.png", "cat/again.png", "cat/more/1.png", "cat/more/2.png"], ["owl/1.png", "owl/2.png"]
    assert names == [*cats, "dog/1.png", *owls]


def test_a_class_without_an_image_says_what_it_has(root):
    make(root, "train/owl/a.heic")
    (root / "train/owl/b.png").touch()
    with pytest.raises(UserError) as raised:
        class_folders(str(root))
    assert str(raised.value).startswith(f"no images in the class folder {root}/train/owl: looked for image files in ")
    assert "; left out, empty: 1, such as train/owl/b.png; left out, of no suffix" in str(raised.value)


def test_names_of_any_bytes(root):
    where = os.fsencode(root)
    os.rename(where + b"/train/cat/1.png", where + b"/train/cat/\xff\xfe.png")
    os.rename(where + b"/test/cat/2.png", where + b"/test/cat/\xff.txt")
    make(root, "test/cat/3.png")
    found = class_folders(str(root))
    assert os.fsencode(found.train[0].path) == b"train/cat/\xff\xfe.png"
    assert found.notes() == [r"left out, of no suffix of an image that is read: 1, such as test/cat/\xff.txt"]


def test_a_socket_is_no_image(root, monkeypatch):
    monkeypatch.chdir(root / "train/cat")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.png")
        assert left_out(root) == {"devices, pipes and the like": ["train/cat/s.png"]}
