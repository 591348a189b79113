"""Handwritten digits, 1,797 grey images of 8x8, shipped with the package: a real data set that needs no download.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998
(its test file), CC BY 4.0; taken from scikit-learn's ``load_digits`` (BSD 3-clause), images in the same order.

``digits.npz`` holds the images as published (uint8, 0 to 16), their labels, and the indices of the 360 test images,
which were drawn once with ``stratified_subset(labels, 360, seed=0)`` and are fixed since. The images of one writer
are on both sides of that split.
"""

from pathlib import Path

import numpy as np
import torch

from effdl.data.source import Images, Source


def digits() -> Source:
    """1,437 training and 360 test images, 10 classes, values scaled from 0..16 to 0..255 and rounded."""
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        images, labels, test = (torch.from_numpy(file[name]) for name in ("images", "labels", "test"))
    everything = Images((images[:, None] * (255 / 16)).round().to(torch.uint8), labels.long())
    is_test = torch.zeros(len(labels), dtype=torch.bool)
    is_test[test.long()] = True
    return Source(
        train=everything.select((~is_test).nonzero().flatten()),
        test=everything.select(is_test.nonzero().flatten()),
        classes=tuple("0123456789"),
    )
