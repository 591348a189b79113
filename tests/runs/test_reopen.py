"""A stored model and a data set that is not quite its own any more."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

NAMES = ("ant", "bee", "cat")


def draw(root: Path, names=NAMES, size=8, count=10, grey=40) -> None:
    """A folder of noisy images, one grey value per class."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(names):
        folder = root / name
        folder.mkdir(parents=True)
        for index in range(count):
            pixels = grey + 80 * number + rng.integers(-10, 30, (size, size))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")


@pytest.fixture
def trained(effdl):
    """The command, in a folder with a run in ``run`` on the images in ``here``."""
    for part in ("train", "test"):
        draw(Path("here", part))
    quick = ("model=mlp", "model.hidden=[8]", "epochs=3", "augment=[none]", "energy.enabled=false")
    data = ("dataset=image_folder", "dataset.root=here", "dataset.channels=1", "dataset.val=0.2")
    assert effdl("train", *quick, *data, "hydra.run.dir=run")[0] == 0
    return effdl


def test_the_stored_model_says_what_it_was_trained_on(trained):
    from effdl.models.stored import read_inputs

    inputs = read_inputs("run")
    assert (inputs.classes, inputs.shape, inputs.centre) == (NAMES, (1, 8, 8), 1.0)
    assert 100 < inputs.mean[0] < 140
    assert 40 < inputs.std[0] < 90


def test_other_images_are_normalized_as_the_model_was_trained(trained):
    """The training images have changed, and with them their mean; the test images have not."""
    draw(Path("there/train"), grey=10)
    draw(Path("there/test"))
    loss = json.loads(Path("run/result.json").read_text())["stages"][-1]["loss"]
    code, output, _ = trained("evaluate", "run", "--root", "there")
    assert (code, f"{loss:.4f}" in output) == (0, True)
    assert "the same as recorded, to the last digit" in output


def test_images_of_another_size_are_resized_to_the_model_s(trained):
    for part in ("train", "test"):
        draw(Path("large", part), size=16)
    _, output, error = trained("evaluate", "run", "--root", "large")
    assert error == ""
    assert "top1 = " in output


def test_other_classes_are_refused(trained):
    draw(Path("other"), names=("ant", "bee", "cow"))
    assert trained("evaluate", "run", "--root", "other")[::2] == (
        2,
        "effdl: run: the model is for other classes: cat there, cow here\n",
    )
    draw(Path("fewer"), names=("ant", "bee"))
    assert trained("evaluate", "run", "--root", "fewer")[::2] == (
        2,
        "effdl: run: the model is for 3 classes, here are 2\n",
    )
