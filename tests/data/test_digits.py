from pathlib import Path

import numpy as np
import torch

from effdl.data import digits as digits_module
from effdl.data.digits import digits


def test_counts_and_classes():
    source = digits()
    assert source.train.images.shape == (1437, 1, 8, 8)
    assert source.test.images.shape == (360, 1, 8, 8)
    assert source.classes == tuple("0123456789")
    labels = torch.cat([source.train.labels, source.test.labels])
    assert labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert source.test.labels.bincount().tolist() == [35, 37, 35, 37, 36, 36, 37, 36, 34, 37]


def test_pixels_are_those_of_scikit_learn():
    source = digits()
    images = torch.cat([source.train.images, source.test.images])
    labels = torch.cat([source.train.labels, source.test.labels])
    assert images.dtype == torch.uint8
    assert images.max() == 255
    published = (images / (255 / 16)).round().long()  # 0 to 16
    sums = [published[labels == label].sum().item() for label in range(10)]
    assert sums == [56415, 57007, 55566, 56151, 56239, 55915, 56336, 54289, 57408, 56392]  # load_digits(), by label


def test_no_image_is_in_both_splits():
    source = digits()
    train, test = ({image.numpy().tobytes() for image in part.images} for part in (source.train, source.test))
    assert len(train) == 1437
    assert len(test) == 360
    assert not train & test


def test_the_test_images_are_fixed():
    with np.load(Path(digits_module.__file__).with_name("digits.npz"), allow_pickle=False) as file:
        test = file["test"].tolist()
    assert (test[:5], sum(test)) == ([5, 8, 11, 18, 19], 320408)
