import pytest
import torch
from torch import nn

from effdl.models.vit import Attention, vit
from effdl.utils.errors import UserError


def test_parameters_follow_the_closed_form():
    patch, dim, depth, inner, tokens = 4, 192, 6, 384, 64
    embedding = (3 * patch**2 + 1) * dim + tokens * dim
    block = 4 * dim**2 + 4 * dim + 2 * dim * inner + inner + dim + 4 * dim
    assert sum(p.numel() for p in vit(3, 32, 10).parameters()) == embedding + depth * block + 2 * dim + (dim + 1) * 10


def test_attention_computes_what_pytorch_does():
    own, reference = Attention(12, 3), nn.MultiheadAttention(12, 3, batch_first=True)
    reference.in_proj_weight, reference.in_proj_bias = own.qkv.weight, own.qkv.bias
    reference.out_proj.weight, reference.out_proj.bias = own.projection.weight, own.projection.bias
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(own(x), reference(x, x, x)[0])


def test_patch_must_divide_the_image():
    with pytest.raises(UserError, match=r"model\.patch=5: must divide the image size, 32"):
        vit(3, 32, 10, patch=5)


def test_heads_must_divide_dim():
    with pytest.raises(UserError, match=r"model\.heads=5: must divide model\.dim=192"):
        vit(3, 32, 10, heads=5)
