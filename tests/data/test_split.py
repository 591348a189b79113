import pytest
import torch

from effdl.data.split import stratified_folds, stratified_holdout, stratified_labelled, stratified_subset

LABELS = torch.randint(7, (1003,), generator=torch.Generator().manual_seed(3)) ** 2 % 7  # unequal classes 0, 1, 2, 4


def assert_shares(part, total):
    for label in LABELS.unique():
        expected = (label == LABELS).sum() * total / len(LABELS)
        assert abs((LABELS[part] == label).sum() - expected) < 1


@pytest.mark.parametrize("size", [0, 1, 4, 100, 501, 1002, 1003])
def test_subset_has_exactly_its_size_and_each_class_its_share(size):
    part = stratified_subset(LABELS, size, seed=0)
    assert len(part) == len(part.unique()) == size
    assert part.tolist() == sorted(part.tolist())
    assert_shares(part, size)


@pytest.mark.parametrize("size", [4, 5, 100, 1003])
def test_labelled_images_are_of_each_class_and_beyond_that_stratified(size):
    part = stratified_labelled(LABELS, size, seed=0)
    assert len(part) == len(part.unique()) == size
    assert part.tolist() == sorted(part.tolist())
    counts, all_ = LABELS[part].bincount(minlength=7), LABELS.bincount(minlength=7)
    present = all_ > 0
    expected = 1 + (all_ - 1)[present] * (size - 4) / (1003 - 4)
    assert (counts[present] - expected).abs().max() < 1
    assert not counts[~present].any()
    assert stratified_labelled(LABELS, size, seed=1).tolist() != part.tolist() or size == 1003


def test_equal_classes_are_split_exactly():
    labels = torch.arange(10).repeat(60)
    assert labels[stratified_subset(labels, 100, seed=5)].bincount().tolist() == [10] * 10
    kept, held = stratified_holdout(labels, 0.25, seed=5)
    assert labels[kept].bincount().tolist() == [45] * 10
    assert labels[held].bincount().tolist() == [15] * 10


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.999])
def test_holdout_parts_are_disjoint_and_cover_everything(fraction):
    kept, held = stratified_holdout(LABELS, fraction, seed=1)
    assert len(held) == round(fraction * 1003)
    assert torch.cat([kept, held]).sort().values.tolist() == list(range(1003))
    assert_shares(held, len(held))


@pytest.mark.parametrize("folds", [2, 5, 10])
def test_folds_are_disjoint_cover_everything_and_are_stratified(folds):
    parts = stratified_folds(LABELS, folds, seed=2)
    assert torch.cat(parts).sort().values.tolist() == list(range(1003))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for part in parts:
        assert_shares(part, 1003 / folds)


def test_the_seed_alone_decides():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = stratified_subset(LABELS, 100, seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(first, stratified_subset(LABELS, 100, seed=4))
    assert not torch.equal(first, stratified_subset(LABELS, 100, seed=5))


@pytest.mark.cuda
def test_labels_on_a_gpu_are_split_as_those_on_the_cpu(cuda):
    labels = LABELS.to(cuda)
    assert torch.equal(stratified_subset(labels, 100, seed=0), stratified_subset(LABELS, 100, seed=0))
    assert torch.equal(stratified_labelled(labels, 100, seed=0), stratified_labelled(LABELS, 100, seed=0))
