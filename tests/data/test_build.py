import json
from dataclasses import replace

import pytest
import torch

from effdl.data import build as load_module
from effdl.data.build import load
from effdl.utils.errors import UserError


@pytest.fixture
def digits(digits_config):
    return digits_config(val=0.1)


def pixels(*parts):
    return [image.numpy().tobytes() for part in parts for image in part.images]


def test_the_splits_cover_the_source_without_a_leak(digits):
    data = load(digits)
    assert (len(data.train), len(data.val), len(data.test)) == (1293, 144, 360)
    everything = pixels(data.train, data.val, data.test)
    assert len(everything) == len(set(everything)) == 1797  # all digits differ


def test_the_data_describes_itself(digits):
    data = load(digits)
    assert (data.name, data.channels, data.image_size, data.classes) == ("digits", 1, 8, tuple("0123456789"))
    torch.testing.assert_close(data.mean[0], data.train.images.double().mean().item())
    torch.testing.assert_close(data.std[0], data.train.images.double().std(correction=0).item())


def test_folds_take_turns_as_the_validation_split(digits):
    parts = [load(digits | {"folds": 4, "fold": fold}) for fold in range(4)]
    held = [set(pixels(part.val)) for part in parts]
    assert len(set.union(*held)) == sum(map(len, held)) == 1437
    for part, others in zip(parts, held, strict=True):
        assert set(pixels(part.train)) == set.union(*held) - others


def test_subset_comes_before_the_validation_split(digits):
    data = load(digits | {"subset": 500, "val": 0.2})
    assert (len(data.train), len(data.val), len(data.test)) == (400, 100, 360)
    assert set(pixels(data.train, data.val)) <= set(pixels(load(digits | {"val": 0.0}).train))


def test_a_fraction_is_that_part_of_each_class(digits):
    part, all_ = load(digits | {"subset": 0.1, "val": 0.0}), load(digits | {"val": 0.0})
    assert part.fingerprint == load(digits | {"subset": 144, "val": 0.0}).fingerprint
    share = part.train.labels.bincount() - 0.1 * all_.train.labels.bincount()
    assert share.abs().max() < 1
    other = load(digits | {"subset": 0.1, "val": 0.0, "split_seed": 1})
    assert set(pixels(other.train)) != set(pixels(part.train))


def test_labels_are_taken_away_and_nothing_else(digits):
    everything, few = load(digits), load(digits | {"labelled": 50})
    assert (len(few.train), len(few.unlabelled)) == (50, 1243)
    assert set(few.train.labels.bincount().tolist()) == {4, 5, 6}
    assert few.unlabelled.labels.unique().tolist() == [-1]
    assert set(pixels(few.train, few.unlabelled)) == set(pixels(everything.train))
    assert pixels(few.val, few.test) == pixels(everything.val, everything.test)
    assert (few.mean, few.std) == (everything.mean, everything.std)
    assert everything.unlabelled is None
    labels = dict(zip(pixels(everything.train), everything.train.labels.tolist(), strict=True))
    assert [labels[image] for image in pixels(few.train)] == few.train.labels.tolist()
    assert len({data.fingerprint for data in (everything, few, load(digits | {"labelled": 50, "split_seed": 1}))}) == 3


def test_all_labels_are_as_before_there_was_a_choice(digits):
    assert load(digits | {"labelled": 1293}).fingerprint == load(digits).fingerprint
    assert load(digits | {"labelled": None}).fingerprint == load(digits).fingerprint
    part = load(digits | {"labelled": 0.1, "subset": 500, "val": 0.2})
    assert (len(part.train), len(part.val), len(part.unlabelled)) == (40, 100, 360)


def test_what_learns_without_labels_sees_all_training_images(digits):
    joined = load(digits | {"labelled": 50}).with_unlabelled()
    assert len(joined.train) == 1293
    assert (joined.train.labels >= 0).tolist() == [True] * 50 + [False] * 1243
    assert joined.unlabelled is None
    assert load(digits).with_unlabelled().train is load(digits).train


@pytest.mark.parametrize("labelled", [5, 1294, 0.001])
def test_an_impossible_number_of_labels(digits, labelled):
    with pytest.raises(UserError, match=rf"^dataset.labelled={labelled}: .*allowed: 10, one of each class, to 1293"):
        load(digits | {"labelled": labelled})


def test_other_numbers_of_classes_leave_what_has_none(digits):
    data = load(digits | {"labelled": 50})
    other = data.numbered_for(replace(data.inputs, classes=data.classes[::-1]))
    assert torch.equal(other.train.labels, 9 - data.train.labels)
    assert other.unlabelled.labels.unique().tolist() == [-1]


def test_no_validation_split(digits):
    assert load(digits | {"val": 0.0}).val is None


def test_the_split_seed_moves_the_splits_and_the_fingerprint(digits):
    first, other = load(digits), load(digits | {"split_seed": 1})
    assert set(pixels(first.val)) != set(pixels(other.val))
    assert first.fingerprint != other.fingerprint
    load_module.cached_load.cache_clear()
    torch.manual_seed(123)
    assert load(digits).fingerprint == first.fingerprint


def test_the_last_result_is_kept(digits):
    data = load(digits)
    assert load(json.loads(json.dumps(digits))) is data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subset": 1438}, r"dataset\.subset=1438: 1438 images \(allowed: 1 to 1437, all to train on\)"),
        ({"subset": 1e-4}, r"dataset\.subset=0\.0001: 0 images \(allowed: 1 to 1437"),
        ({"folds": 1}, r"dataset\.folds=1: must be from 2 to .* 1437"),
        ({"folds": 2000}, r"dataset\.folds=2000"),
        ({"folds": 3, "fold": 3}, r"dataset\.fold=3: must be from 0 to 2"),
        ({"subset": 4, "val": 0.1}, r"dataset\.val=0\.1 of 4 training images leaves 4 to train on and 0"),
        ({"subset": 4, "val": 0.99}, r"leaves 0 to train on"),
    ],
)
def test_an_impossible_split_is_a_user_error(change, message, digits):
    with pytest.raises(UserError, match=message):
        load(digits | change)
