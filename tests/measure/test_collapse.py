import pytest
import torch

from effdl.measure.collapse import effective_rank, embedding_std, has_collapsed


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_directions_that_are_uniform_have_the_deviation_of_the_sphere():
    assert embedding_std(torch.randn(20_000, 64)) == pytest.approx(64**-0.5, rel=0.01)
    assert embedding_std(5 * torch.randn(20_000, 8)) == pytest.approx(8**-0.5, rel=0.01)


def test_one_direction_has_none_whatever_the_lengths():
    assert embedding_std(torch.rand(100, 1) * torch.randn(1, 16)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("dimensions", [1, 3, 10])
def test_the_rank_counts_dimensions_of_equal_weight(dimensions):
    basis, _ = torch.linalg.qr(torch.randn(200, dimensions))
    turned, _ = torch.linalg.qr(torch.randn(32, 32))
    assert effective_rank(basis @ turned[:dimensions]) == pytest.approx(dimensions, rel=1e-4)


def test_the_rank_is_the_exponential_of_the_entropy():
    """Singular values 2 and 1: parts 2/3 and 1/3."""
    parts = torch.tensor([2 / 3, 1 / 3])
    assert effective_rank(torch.diag(torch.tensor([2.0, 1.0]))) == pytest.approx((-parts @ parts.log()).exp().item())
    assert effective_rank(torch.zeros(4, 3)) == 1


def test_collapse_is_one_direction_or_few_dimensions():
    healthy, same = torch.randn(500, 32), torch.randn(1, 32) + 0.01 * torch.randn(500, 32)
    line = torch.randn(500, 1) * torch.randn(1, 32)
    found = [has_collapsed(embedding_std(z), effective_rank(z), 32) for z in (healthy, same, line)]
    assert found == [False, True, True]
