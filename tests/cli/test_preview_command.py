"""`effdl preview`, on the digits."""

import builtins

import pytest


def test_the_table_says_the_splits_and_the_picture_follows_from_the_seed(effdl, tmp_path):
    small = ("preview", "dataset.val=0.2", "--count", "3", "--views", "2")
    code, output, error = effdl(*small)
    assert (code, error) == (0, "")
    lines = [line.split() for line in output.splitlines()]
    assert ["class", "train", "validation", "test"] in lines
    assert ["all", "1,150", "287", "360"] in lines
    assert "10 classes, images of 1x8x8" in output
    assert "mean 77.8, standard deviation 95.8 per channel" in output
    assert output.splitlines()[-1] == "picture: views.png"
    first = (tmp_path / "views.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    for seed, same in (("seed=0", True), ("seed=1", False)):
        assert effdl(*small, seed, "--out", "new/other.png")[0] == 0
        assert ((tmp_path / "new/other.png").read_bytes() == first) == same
    assert {path.name for path in tmp_path.iterdir()} - {"cache"} == {"new", "views.png"}  # matplotlib's cache


def test_many_classes_are_not_shown_one_by_one(effdl, tmp_path):
    from PIL import Image

    for number in range(42):
        (tmp_path / f"images/c{number}").mkdir(parents=True)
        for i in range(3 + (number == 7)):
            Image.new("RGB", (4, 4), (number, i, 0)).save(tmp_path / f"images/c{number}/{i}.png")
    arguments = ("dataset=image_folder", "dataset.root=images", "dataset.val=0", "dataset.pad=1", "augment=[mixup]")
    code, output, _ = effdl("preview", *arguments, "--count", "2", "--views", "1")
    assert code == 0
    assert "the 40 with the fewest and the most training images" in output
    assert len([line for line in output.splitlines() if line.startswith("c") and "train" not in line]) == 40
    assert "c7 " in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["augment=flip_crop,cutout"], "augment=flip_crop,cutout: a preview is of one config"),
        (["augment=[zoom]"], "augment=zoom is not an option"),
        (["augment=[cutout]", "augment.cutout.size=0"], "augment.cutout.size=0: allowed is"),
        (["resume=run"], "resume=run: a preview continues no run"),
        (["prune=2"], "prune=2"),
        (["compression=[magnitude]"], "magnitude does nothing without prune="),
        (["pretraining=masked"], "pretraining=masked: this model has no patches"),
        (["pretraining=rotation", "dataset.val=0"], "pretraining=rotation needs a validation split"),
        (["--count", "0"], "--count: 0: allowed is a whole number from 1 to 100"),
        (["--count", "00000000101"], "--count: 00000000101: allowed is a whole number from 1 to 100"),
        (["--views", "many"], "--views: many: allowed is a whole number from 1 to 20"),
        (["--out", "views.jpg"], "--out views.jpg: allowed is a file whose name ends with .png"),
        (["dataset=mnist", "dataset.root=nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(effdl, tmp_path, arguments, message):
    code, output, error = effdl("preview", *arguments)
    assert (code, output) == (2, "")
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_without_matplotlib(effdl, monkeypatch):
    load = builtins.__import__

    def without(name, *arguments, **more):
        if name == "matplotlib":
            raise ImportError("No module named 'matplotlib'")
        return load(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    code, _, error = effdl("preview")
    assert (code, "pip install matplotlib" in error, error.count("\n")) == (2, True, 1)


def test_what_changes_nothing_is_said(effdl, tmp_path):
    code, output, _ = effdl("preview", "pretraining=autoencoder", "model=mlp", "--count", "2")
    assert code == 0
    assert output.splitlines()[-2:] == [
        "pretraining=autoencoder: all views are the images as they are",
        "picture: views.png",
    ]
