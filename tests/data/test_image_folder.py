import os

import numpy as np
import pytest
import torch
from PIL import Image

from effdl.data import image_folder as module
from effdl.data import pixel_cache
from effdl.data.build import split_source
from effdl.data.image_folder import image_folder
from effdl.utils.errors import UserError

RANDOM = np.random.default_rng(0)
DEFAULTS = {"test_fraction": 0.2, "image_size": None, "channels": 3, "memory_gb": 1.0, "workers": 0}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "effdl"


@pytest.fixture
def decodings(monkeypatch):
    """The number of times a whole set was decoded, as a list that grows."""
    calls, decode = [], module.decode_all
    monkeypatch.setattr(module, "decode_all", lambda streamed: calls.append(1) or decode(streamed))
    return calls


def fill(folder, count, size=(8, 8), suffix="png"):
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = RANDOM.integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.{suffix}")


@pytest.fixture
def root(tmp_path):
    for part, count in (("train", 6), ("test", 2)):
        for name in ("cat", "dog"):
            fill(tmp_path / "set" / part / name, count)
    return tmp_path / "set"


def read(root, **options):
    return image_folder(root=str(root), **(DEFAULTS | options))


def split(source, **keys):
    defaults = {"val": 0.25, "folds": None, "fold": 0, "subset": None, "split_seed": 0, "mirror": True, "pad": 0}
    return split_source(source, "set", **(defaults | keys))


def test_train_and_test_folders(root):
    (root / "train" / "cat" / "notes.txt").write_text("not an image")
    source = read(root)
    assert source.classes == ("cat", "dog")
    assert source.train.images.shape == (12, 3, 8, 8)
    assert source.train.labels.tolist() == [0] * 6 + [1] * 6
    assert source.test.labels.tolist() == [0, 0, 1, 1]
    first = np.array(Image.open(root / "test" / "dog" / "1.png"))
    assert torch.equal(source.test.images[3], torch.from_numpy(first).permute(2, 0, 1))


def test_val_stands_in_for_test(root):
    (root / "test").rename(root / "val")
    assert len(read(root).test) == 4


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_val_beside_test_is_the_validation_split(root, name):
    whole = split(read(root))
    fill(root / name / "cat", 3)
    fill(root / name / "dog", 3)
    source = read(root)
    assert [len(part) for part in (source.train, source.val, source.test)] == [12, 6, 4]
    first = np.array(Image.open(root / name / "dog" / "0.png"))
    assert torch.equal(source.val.images[3], torch.from_numpy(first).permute(2, 0, 1))
    assert not source.notes
    data = split(source)
    assert torch.equal(data.train.images, source.train.images)
    assert torch.equal(data.val.images, source.val.images)
    assert data.mean == pytest.approx(source.train.images.double().mean(dim=(0, 2, 3)).tolist())
    assert data.fingerprint != whole.fingerprint
    assert data.notes == ("its own 6 validation images are the validation split: dataset.val=0.25 is not used",)
    without = split(source, val=0.0)
    assert without.val is None
    assert without.notes == ("its own 6 validation images are not used, by dataset.val=0",)
    Image.new("RGB", (8, 8)).save(root / name / "dog" / "0.png")
    assert split(read(root)).fingerprint != data.fingerprint
    assert len(split(source, subset=6).train) == 6
    assert len(split(source, subset=6).val) == 6
    with pytest.raises(UserError, match=r"^dataset\.folds=3: the data set has a validation split of its own"):
        split(source, folds=3)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["cat"], "the validation folder lacks classes of the train folder: dog"),
        (["cat", "dog", "owl"], "the validation folder has classes that the train folder has not: owl"),
    ],
)
def test_the_validation_folder_has_the_classes_of_the_train_folder(root, classes, message):
    for name in classes:
        fill(root / "val" / name, 1)
    with pytest.raises(UserError, match=message):
        read(root)


@pytest.mark.parametrize("streamed", [False, True])
def test_images_beside_train_that_have_no_labels(root, streamed):
    before = image_folder(root=str(root), **DEFAULTS)
    fill(root / "unlabelled", 2)
    fill(root / "unlabelled" / "more", 1)
    source = image_folder(root=str(root), **DEFAULTS | ({"memory_gb": 1e-9} if streamed else {}))
    assert source.unlabelled.labels.tolist() == [-1, -1, -1]
    assert source.classes == before.classes
    assert source.notes == before.notes
    assert (len(source.train), len(source.test)) == (len(before.train), len(before.test))
    data = split(source, labelled=6)
    assert len(data.unlabelled) == len(source.train) - len(data.val) - 6 + 3
    joined = data.with_unlabelled().train
    assert len(joined) == 6 + len(data.unlabelled)
    if streamed:
        assert joined.images.files[-3:] == ("unlabelled/0.png", "unlabelled/1.png", "unlabelled/more/0.png")
    else:
        assert torch.equal(joined.images[-3:], source.unlabelled.images)
        assert split(source).mean == split(before).mean


def test_a_folder_without_images_that_have_no_labels(root):
    (root / "unlabelled").mkdir()
    with pytest.raises(UserError, match=r"no images in .*unlabelled, which is for those without labels"):
        image_folder(root=str(root), **DEFAULTS)


def test_validation_images_are_streamed_too(root):
    fill(root / "val" / "cat", 1)
    fill(root / "val" / "dog", 2)
    source = read(root, memory_gb=1e-9)
    assert [file.replace(os.sep, "/") for file in source.val.images.files] == [
        "val/cat/0.png",
        "val/dog/0.png",
        "val/dog/1.png",
    ]
    assert split(source).val is source.val


@pytest.mark.parametrize("inside", ["", "train"])
def test_without_a_test_folder_a_fifth_of_each_class_is_held_out(tmp_path, inside):
    for name in ("a", "b", "c"):
        fill(tmp_path / "flat" / inside / name, 10)
    source = read(tmp_path / "flat")
    assert source.train.labels.bincount().tolist() == [8, 8, 8]
    assert source.test.labels.bincount().tolist() == [2, 2, 2]
    pixels = [{image.numpy().tobytes() for image in part.images} for part in (source.train, source.test)]
    assert not pixels[0] & pixels[1]
    assert torch.equal(read(tmp_path / "flat").test.images, source.test.images)


def test_mixed_sizes_modes_and_formats(tmp_path):
    for name in ("a", "b"):
        folder = tmp_path / "set" / name
        fill(folder, 5)
        Image.new("RGB", (300, 100), (10, 20, 30)).save(folder / "wide.jpg", quality=95)
        Image.new("L", (20, 50), 40).save(folder / "grey.bmp")
        Image.new("P", (5, 5)).save(folder / "palette.gif")
        Image.new("RGBA", (9, 9), (1, 2, 3, 0)).save(folder / "transparent.WEBP", lossless=True)
        Image.new("CMYK", (9, 12)).save(folder / "print.jpeg")
    assert read(tmp_path / "set").train.image_size == 224
    source = read(tmp_path / "set", image_size=16)
    assert source.train.images.shape == (16, 3, 16, 16)
    assert read(tmp_path / "set", image_size=16, channels=1).train.images.shape == (16, 1, 16, 16)


@pytest.mark.parametrize(("size", "expected"), [((12, 12), 12), ((12, 13), 224)])
def test_the_common_size_is_kept_if_square(tmp_path, size, expected):
    for name in ("a", "b"):
        fill(tmp_path / "set" / name, 5, size, "jpg")
    assert read(tmp_path / "set").train.image_size == expected


def test_the_second_reading_comes_from_the_cache(root, decodings):
    first, second = read(root), read(root)
    assert len(decodings) == 1
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(first.test.images, second.test.images)


def test_a_change_of_files_or_options_decodes_again(root, decodings):
    read(root)
    read(root, image_size=4)
    read(root, channels=1)
    fill(root / "train" / "owl", 1)
    read(root)
    Image.new("RGB", (8, 8)).save(root / "train" / "owl" / "0.png")
    assert read(root).train.images[-1].max() == 0
    assert len(decodings) == 5


def truncate(data):
    return data[: len(data) // 2]


def flip_a_bit(data):
    return data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, lambda data: b"", lambda data: b"junk" * 100])
def test_a_damaged_cache_is_rebuilt_with_a_warning(root, cache, decodings, caplog, damage):
    first = read(root)
    (file,) = cache.iterdir()  # one file and no temporary ones
    file.write_bytes(damage(file.read_bytes()))
    assert torch.equal(read(root).train.images, first.train.images)
    assert len(decodings) == 2
    assert "damaged" in caplog.text
    assert str(file) in caplog.text
    caplog.clear()
    read(root)
    assert len(decodings) == 2
    assert not caplog.text


def test_an_unwritable_cache_is_only_a_warning(root, cache, caplog):
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    assert len(read(root).train) == 12
    assert "could not be cached" in caplog.text


def test_more_than_memory_gb_is_streamed(root, decodings):
    held = read(root)
    source = read(root, memory_gb=16 * 8 * 8 * 3 / 1e9 - 1e-9)
    assert (len(source.train), source.train.channels, source.train.image_size) == (12, 3, 8)
    decoded = torch.stack([source.train.images.decode(index) for index in range(12)])
    assert torch.equal(decoded, held.train.images)  # memory_gb does not change what is trained on
    assert source.test.labels.tolist() == held.test.labels.tolist()
    assert len(decodings) == 1


def test_decoding_in_parallel_gives_the_same(root, monkeypatch):
    monkeypatch.setattr(pixel_cache, "read", lambda *_: None)
    fill(root / "train" / "owl", 250)  # several chunks
    assert torch.equal(read(root, workers=3).train.images, read(root).train.images)


def test_an_unreadable_image_is_named(root):
    broken = root / "train" / "dog" / "0.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(UserError, match=str(broken)):
        read(root)


def test_wrong_layouts_are_user_errors(root, tmp_path):
    with pytest.raises(UserError, match=rf"no such folder.*{tmp_path / 'nowhere'}"):
        read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images"):
        read(tmp_path / "empty")
    (root / "train" / "owl").mkdir()
    with pytest.raises(UserError, match=r"no images in the class folder .*owl"):
        read(root)
    (root / "train" / "owl").rmdir()
    fill(root / "test" / "owl", 1)
    with pytest.raises(UserError, match="classes that the train folder has not: owl"):
        read(root)
    with pytest.raises(UserError, match=r"dataset\.test_fraction=0\.0"):
        read(root / "train", test_fraction=0.0)


def test_one_class_is_none(tmp_path):
    fill(tmp_path / "set" / "only", 3)
    with pytest.raises(UserError, match=r"dataset\.root=\S+set: the only class is only; allowed is a folder of two"):
        read(tmp_path / "set")


@pytest.mark.parametrize("memory_gb", [1.0, 1e-9])
def test_what_is_left_out_is_said(root, memory_gb):
    os.symlink("nowhere", root / "test" / "dog" / "x.PNG")
    fill(root / "train" / "dog" / "2020", 3)
    for _ in range(2):  # decoded, and from the cache
        source = read(root, memory_gb=memory_gb, image_size=8)
        assert (len(source.train), len(source.test)) == (15, 4)
        assert source.notes == ("left out, links to nothing or to themselves: 1, such as test/dog/x.PNG",)


def test_floats_keep_their_detail(tmp_path, decodings):
    """Images of 0 to 1 were all black."""
    for name, offset in (("a", 0.0), ("b", 0.5)):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(5):
            pixels = (offset + 0.4 * RANDOM.random((8, 8))).astype(np.float32)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{number}.tiff")
            if number == 0:
                first = pixels
    for _ in range(2):
        source = read(tmp_path / "set", channels=1)
        images = torch.cat([source.train.images, source.test.images])
        assert source.ranges == {"floats": (0, 1)}
        assert "0 to 1 becomes 0 to 255" in source.notes[0]
        assert (torch.from_numpy(np.rint(first * 255)) == images[:, 0]).all(dim=(1, 2)).sum() == 1
    assert len(decodings) == 1
    streamed = read(tmp_path / "set", channels=1, memory_gb=1e-9).test
    assert torch.equal(streamed.images.decode(0), source.test.images[0])


def test_a_changed_rule_decodes_again(root, decodings, monkeypatch):
    read(root)
    monkeypatch.setattr(module, "RULE", "another")
    read(root)
    assert len(decodings) == 2


def test_a_new_type_beyond_the_images_looked_at_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_HEADERS", 2)
    for name in ("a", "b"):
        fill(tmp_path / "set" / name, 4, suffix="tiff")
    Image.new("F", (8, 8), 7).save(tmp_path / "set" / "b" / "3.tiff")
    assert read(tmp_path / "set").ranges == {"floats": (7, 8)}
    streamed = read(tmp_path / "set", memory_gb=1e-9)
    assert streamed.ranges == {}
    images = streamed.train.images
    everything = [*images.files, *streamed.test.images.files]
    with pytest.raises(UserError, match=r"b/3\.tiff cannot be read as an image: it has floats \(mode F\), whose range"):
        module.StreamedImages(images.root, tuple(everything), 3, 8, 0).decode(everything.index("b/3.tiff"))


def test_links_to_images_are_read(root):
    os.symlink(root / "test" / "dog" / "0.png", root / "test" / "dog" / "9.png")
    images = read(root).test.images
    assert torch.equal(images[-1], images[2])


@pytest.mark.parametrize("memory_gb", [1.0, 1e-9])
def test_names_of_any_bytes(root, memory_gb):
    before = read(root).test.images
    os.rename(root / "test" / "dog" / "1.png", os.fsencode(root) + b"/test/dog/\xff\xfe.png")
    splits = {"val": 0.0, "folds": None, "fold": 0, "subset": None, "split_seed": 0, "mirror": True, "pad": 0}
    data = split_source(read(root, memory_gb=memory_gb), "set", **splits)
    assert len(data.fingerprint) == 64
    images = data.test.images
    pixels = images if memory_gb == 1 else torch.stack([images.decode(index) for index in range(4)])
    assert torch.equal(pixels, before)


def test_a_class_of_such_a_name_is_refused(root):
    os.rename(root / "train" / "dog", os.fsencode(root) + b"/train/\xff")
    with pytest.raises(UserError, match=r"train/\\xff' has a name that is not UTF-8: rename it"):
        read(root)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset.root=null"], "dataset.root=null: allowed is a text"),
        (["dataset.root=[a]"], "dataset.root=['a']: allowed is a text"),
        (
            ["dataset.image_size=100000"],
            "dataset.image_size=100000: allowed is a whole number >= 1 and <= 4096, or null",
        ),
        (["dataset.workers=100000"], "dataset.workers=100000: allowed is a whole number >= 0 and <= 256, or null"),
        (["dataset.pad=2000"], "dataset.pad=2000: allowed is a whole number >= 0 and <= 1024"),
        (["dataset.pad=9"], "dataset.pad=9: allowed is a whole number from 0 to 8, the size of the images"),
        (["dataset.root='~nobody/x'"], "no such folder: looked for image files in "),
    ],
)
def test_values_out_of_range_are_refused_before_the_run(effdl, root, overrides, message):
    quick = ("model=mlp", "epochs=1", "energy.enabled=false", "hydra.run.dir=run")
    code, _, error = effdl("train", "dataset=image_folder", f"dataset.root={root}", *overrides, *quick)
    assert code == 2
    assert error.startswith(f"effdl: {message}")
    assert len(error.splitlines()) == 1
    assert not (root.parent / "run").exists()
