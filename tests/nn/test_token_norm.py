"""Batch norm of the last dimension."""

import pytest
import torch

from effdl.nn.token_norm import TokenNorm


@pytest.mark.parametrize("shape", [(5, 7, 4), (2, 3, 5, 4), (20, 4)])
def test_each_feature_is_normalized_over_images_and_tokens(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3 + 2
    norm, others = TokenNorm(4), tuple(range(len(shape) - 1))
    with torch.no_grad():
        norm.norm.weight.copy_(torch.tensor([1.0, 2.0, -1.0, 0.5]))
        norm.norm.bias.fill_(0.25)
    mean, variance = x.mean(others), x.var(others, correction=0)
    wanted = (x - mean) / (variance + 1e-5).sqrt() * norm.norm.weight + 0.25
    assert torch.allclose(norm(x), wanted, atol=1e-5)
    assert torch.allclose(norm.norm.running_mean, 0.1 * mean)
    kept = (x - norm.norm.running_mean) / (norm.norm.running_var + 1e-5).sqrt() * norm.norm.weight + 0.25
    assert torch.allclose(norm.eval()(x), kept, atol=1e-5)


def test_tokens_may_lie_in_memory_as_they_like():
    x = torch.randn(2, 4, 6).transpose(1, 2)
    assert torch.equal(TokenNorm(4).eval()(x), TokenNorm(4).eval()(x.contiguous()))
