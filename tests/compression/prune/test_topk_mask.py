"""Masks of exactly the right number, chosen the same way everywhere."""

import itertools

import pytest
import torch

from effdl.compression.prune.topk_mask import allocate, topk_mask, topk_mask_in_groups


def zeros(masks):
    return sum(int((~mask).sum()) for mask in masks)


@pytest.mark.parametrize("level", [0.0, 0.001, 0.1, 1 / 3, 0.5, 0.9, 0.999, 1 - 1e-9])
def test_exactly_the_count_goes(level):
    generator = torch.Generator().manual_seed(0)
    scores = [torch.rand(shape, generator=generator) for shape in [(7,), (3, 5), (4, 3, 3, 3), (1, 1)]]
    count = round(level * sum(score.numel() for score in scores))
    masks = topk_mask(scores, count)
    assert [mask.shape for mask in masks] == [score.shape for score in scores]
    assert all(mask.dtype == torch.bool for mask in masks)
    assert zeros(masks) == count
    kept = torch.cat([score[mask] for score, mask in zip(scores, masks, strict=True)])
    gone = torch.cat([score[~mask] for score, mask in zip(scores, masks, strict=True)])
    if len(kept) and len(gone):
        assert gone.max() < kept.min()


def test_of_equal_scores_the_earlier_ones_go():
    first, second = topk_mask([torch.ones(3), torch.tensor([[1.0, 1.0], [2.0, 0.5]])], 3)
    assert first.tolist() == [False, False, True]
    assert second.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize("seed", range(10))
def test_it_is_a_stable_sort(seed):
    """With many equal scores, and with the lowest of all, as zeros have."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(5, (200,), generator=generator).float()
    scores[torch.rand(200, generator=generator) < 0.2] = -torch.inf
    for count in (0, 1, 17, 40, 41, 100, 199, 200):
        expected = torch.ones(200, dtype=torch.bool)
        expected[scores.argsort(stable=True)[:count]] = False
        assert torch.equal(topk_mask([scores], count)[0], expected)


def test_the_memory_layout_changes_nothing():
    score = torch.rand(8, 4, 3, 3)
    plain, other = topk_mask([score], 100), topk_mask([score.to(memory_format=torch.channels_last)], 100)
    assert torch.equal(plain[0], other[0])


@pytest.mark.parametrize(("kept", "size"), [(2, 4), (1, 4), (3, 4), (1, 2), (4, 8), (5, 6)])
@pytest.mark.parametrize(("shape", "dim"), [((5, 24), 1), ((3, 48, 3, 3), 1), ((24, 5, 2, 2), 0)])
def test_groups_keep_their_best(kept, size, shape, dim):
    scores = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    keep = topk_mask_in_groups(scores, kept, size, dim)
    rows, marks = scores.movedim(dim, -1).reshape(-1, shape[dim]), keep.movedim(dim, -1).reshape(-1, shape[dim])
    for row, mark in zip(rows, marks, strict=True):
        for start in range(0, len(row), size):
            best = sorted(range(start, start + size), key=lambda i: row[i])[size - kept :]
            assert set(best) == {i for i in range(start, start + size) if mark[i]}


def test_equal_amounts_give_equal_sparsity():
    assert allocate([100, 1000, 10], [0, 0, 0], [0.5] * 3, 555) == [50, 500, 5]
    assert allocate([100, 1000, 10], [0, 0, 0], [0.3] * 3, 999) == [90, 900, 9]


def test_what_the_amounts_say_is_what_comes_out():
    assert allocate([100, 1000, 200], [0, 0, 0], [0.25, 0.8, 0.0], 825) == [25, 800, 0]


def test_one_exponent_for_all():
    """Twice the exponent: densities of 0.75, 0.2 and 1 become 0.5625, 0.04 and 1."""
    assert allocate([10_000, 10_000, 10_000], [0, 0, 0], [0.25, 0.8, 0.0], 4375 + 9600) == [4375, 9600, 0]


def test_zeros_that_are_there_stay_and_count():
    assert allocate([100, 100], [70, 0], [0.5, 0.5], 100) == [70, 30]
    assert allocate([100, 100], [70, 0], [0.5, 0.5], 60) == [70, 0]
    assert allocate([100, 100], [20, 0], [0.0, 0.5], 70) == [20, 50]


@pytest.mark.parametrize("seed", range(20))
def test_the_sum_is_exact_and_within_bounds(seed):
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 5000, (7,), generator=generator).tolist()
    amounts = torch.rand(7, generator=generator).tolist()
    amounts[seed % 7] = 0.0
    zeros = [int(size * part) for size, part in zip(sizes, torch.rand(7, generator=generator) * 0.3, strict=True)]
    reachable = sum(size if amount else zero for size, amount, zero in zip(sizes, amounts, zeros, strict=True))
    for count in (sum(zeros), (sum(zeros) + reachable) // 2, reachable - 1, reachable):
        counts = allocate(sizes, zeros, amounts, count)
        assert sum(counts) == count
        assert all(zero <= number <= size for zero, number, size in zip(zeros, counts, sizes, strict=True))
        parts = [number / size for number, size in zip(counts, sizes, strict=True)]
        for one, other in itertools.combinations(range(7), 2):  # more amount, not less sparsity (but for rounding)
            if amounts[one] < amounts[other]:
                slack = 1 / sizes[one] + 1 / sizes[other] + zeros[one] / sizes[one]
                assert parts[one] <= parts[other] + slack


@pytest.mark.parametrize("amount", [1e-300, 1e-17, 1 - 1e-16])
def test_extreme_amounts_end(amount):
    assert allocate([10, 10], [0, 0], [amount, amount], 20) == [10, 10]
    assert sum(allocate([10, 10], [0, 0], [amount, 0.5], 7)) == 7


@pytest.mark.cuda
def test_a_gpu_chooses_the_same_weights(cuda):
    generator = torch.Generator().manual_seed(0)
    scores = [torch.randint(9, shape, generator=generator).float() for shape in [(50,), (30, 50), (4, 3, 3, 3)]]
    for count in (0, 1, 700, 1658):
        found = topk_mask([score.to(cuda) for score in scores], count)
        assert all(torch.equal(a.cpu(), b) for a, b in zip(found, topk_mask(scores, count), strict=True))
    pairs = topk_mask_in_groups(scores[1].to(cuda), 1, 2, dim=1)
    assert torch.equal(pairs.cpu(), topk_mask_in_groups(scores[1], 1, 2, dim=1))
