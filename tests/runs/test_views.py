"""What is shown of a pretraining is what its method makes, and sees, of the images."""

from functools import partial

import pytest
import torch

from effdl.config.compose import composed, settings
from effdl.data.build import load
from effdl.data.random_views import random_views
from effdl.data.views import examples
from effdl.pretraining.masked import patches
from effdl.runs.views import pretraining_views

SMALL = ("dataset.subset=200", "model=mlp", "device.threads=1")


def shown(*typed, views=None):
    """Five images, float (5, 1, 8, 8), and the views of them."""
    config = settings(composed([*SMALL, *typed], None))
    images = examples(load(config["dataset"]).train, 5, 1)
    found = pretraining_views(config, images, views, 3)
    assert found.dtype == torch.uint8
    return images.images.float(), found.float()


def test_two_views_are_those_that_are_compared():
    pytest.importorskip("lightly")
    images, found = shown("pretraining=simclr", "pretraining.views.rotate=90")
    torch.manual_seed(3)
    draw = partial(random_views, images, torch.zeros(5), flip=False, rotate=90)
    first, second = draw()[0], draw()[0]
    assert torch.equal(found, first.round())
    _, more = shown("pretraining=simclr", "pretraining.views.rotate=90", views=3)
    assert torch.equal(more, torch.cat([first, second[:, :1]], 1).round())


def test_the_four_turns():
    images, found = shown("pretraining=rotation")
    assert torch.equal(found, torch.stack([images.rot90(turn, (2, 3)) for turn in range(4)], 1))


def test_a_damaged_image_is_another_one_each_time():
    images, found = shown("pretraining=denoising", "pretraining.noise=0", views=2)
    assert found.shape == (5, 2, 1, 8, 8)
    assert not torch.equal(found[:, 0], found[:, 1])
    lost = found != images[:, None]
    assert 0.05 < lost.float().mean() < 0.25  # a quarter of the pixels, of which some were black
    assert not found[lost].any()
    images, found = shown("pretraining=autoencoder", views=2)
    assert torch.equal(found, torch.stack([images, images], 1))


def test_hidden_patches_are_gray():
    images, found = shown("pretraining=masked", "model=vit", "model.patch=2", "model.dim=32", "model.heads=2")
    images, found = patches(images, 2), patches(found[:, 0], 2)
    visible = (images == found).all(-1)
    assert visible.sum(1).tolist() == [4] * 5
    assert len(found[~visible].unique()) == 1
