"""Which images are shown, and their views."""

import torch

from effdl.data.augment import flip_crop
from effdl.data.source import Images
from effdl.data.views import augmented, examples, pixels_of


def images(labels):
    generator = torch.Generator().manual_seed(0)
    return Images(
        torch.randint(256, (len(labels), 1, 6, 6), dtype=torch.uint8, generator=generator), torch.tensor(labels)
    )


LABELS = [3, 1, 1, 2, 1, 1, 3, 1, 1, 1]  # of four classes, one without images


def test_one_of_each_class_before_a_second():
    assert examples(images(LABELS), 3, seed=1).labels.tolist() == [1, 2, 3]
    assert examples(images(LABELS), 5, seed=1).labels.tolist() == [1, 1, 2, 3, 3]
    assert examples(images(LABELS), 100, seed=1).labels.tolist() == sorted(LABELS)


def test_the_seed_decides_which_images_and_which_classes():
    many = images([*range(20)] * 5)
    first, again, other = (examples(many, 4, seed) for seed in (1, 1, 2))
    assert torch.equal(first.images, again.images)
    assert len(set(first.labels.tolist())) == 4
    assert first.labels.tolist() != other.labels.tolist()
    assert not torch.equal(first.images, other.images)


def test_views_are_those_of_training_with_a_draw_each():
    shown = images(LABELS)
    found = augmented(shown, [lambda *batch: flip_crop(*batch, flip=True, pad=2)], 3, seed=7)
    torch.manual_seed(7)
    for view in range(3):
        assert torch.equal(found[:, view], flip_crop(shown.images, shown.labels, flip=True, pad=2)[0])
    assert not torch.equal(found[:, 0], found[:, 1])
    assert torch.equal(augmented(shown, [], 1, seed=0)[:, 0], pixels_of(shown))


def test_views_of_floats_are_pixels_again():
    shown = images(LABELS)
    found = augmented(shown, [lambda batch, targets: (batch.float() * 2 - 100, targets)], 1, seed=0)
    assert torch.equal(found[:, 0].int(), (2 * shown.images.int() - 100).clamp(0, 255))
