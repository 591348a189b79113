import json

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
