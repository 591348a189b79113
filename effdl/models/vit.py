"""A small vision transformer."""

import torch
import torch.nn.functional as F
from torch import nn

from effdl.config.types import Count, Fraction, Layers, Positive
from effdl.utils.errors import UserError


class Attention(nn.Module):
    """Multi-head self-attention on (N, tokens, dim); a plain linear layer makes queries, keys and values.

    A head has ``head_dim`` queries, keys and values; the number of heads is what the linear layers hold, so that heads
    can be removed from them.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.head_dim = dim // heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.projection = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.qkv(x).unflatten(-1, (3, -1, self.head_dim)).permute(2, 0, 3, 1, 4).unbind()
        out = F.scaled_dot_product_attention(query, key, value)  # (N, heads, tokens, dim/heads)
        return self.projection(out.transpose(1, 2).flatten(2))


class EncoderBlock(nn.Module):
    """Pre-norm attention and MLP, each with its shortcut: (N, tokens, dim) to the same."""

    def __init__(self, dim: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(dim), Attention(dim, heads), nn.Dropout(dropout))
        self.mlp = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, inner), nn.GELU(), nn.Linear(inner, dim), nn.Dropout(dropout)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(x)
        return x + self.mlp(x)


class PatchEmbedding(nn.Module):
    """Cut (N, channels, H, W) into patches and add learned positions: (N, tokens, dim)."""

    def __init__(self, channels: int, image_size: int, patch: int, dim: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(channels, dim, patch, stride=patch)
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, (image_size // patch) ** 2, dim), std=0.02))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.projection(x).flatten(2).transpose(1, 2) + self.position


class _MeanOverTokens(nn.Module):
    """(N, tokens, dim) to (N, dim)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=1)


def vit(
    channels: int,
    image_size: int,
    classes: int,
    *,
    patch: Count = 4,
    dim: Count = 192,
    depth: Layers = 6,
    heads: Count = 3,
    mlp_ratio: Positive = 2.0,
    dropout: Fraction = 0.0,
) -> nn.Module:
    """``depth`` encoder blocks on patches of ``patch`` x ``patch`` pixels.

    Dosovitskiy et al. 2021, section 3.1, with the mean of the tokens in place of the class token (Beyer et al. 2022,
    "Better plain ViT baselines"). Raises UserError unless ``patch`` divides ``image_size`` and ``heads`` ``dim``.
    """
    if image_size % patch:
        raise UserError(f"model.patch={patch}: must divide the image size, {image_size}")
    if dim % heads:
        raise UserError(f"model.heads={heads}: must divide model.dim={dim}")
    blocks = [EncoderBlock(dim, heads, max(1, round(dim * mlp_ratio)), dropout) for _ in range(depth)]
    embedding = PatchEmbedding(channels, image_size, patch, dim)
    # Linear layers keep PyTorch's own initialisation: with plain SGD they learn faster than from the usual N(0, 0.02²).
    return nn.Sequential(
        embedding, nn.Dropout(dropout), *blocks, nn.LayerNorm(dim), _MeanOverTokens(), nn.Linear(dim, classes)
    )
