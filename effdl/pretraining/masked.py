"""Masked autoencoder: draw the patches of an image that the encoder has not seen."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from effdl.config.types import Count, Layers, Share
from effdl.data.build import Data
from effdl.models.vit import EncoderBlock, PatchEmbedding
from effdl.pretraining.method import Pretext, pretraining_method
from effdl.utils.data_parallel import share
from effdl.utils.distributed import world_size
from effdl.utils.errors import UserError

_HEAD_DIM = 16  # of the decoder's attention
_EPSILON = 1e-6


def _check(model: nn.Module, dim: int) -> None:
    """Refuse what is no vision transformer of `effdl.models.vit`."""
    if not isinstance(model, nn.Sequential) or not isinstance(model[0], PatchEmbedding):
        raise UserError("pretraining=masked: this model has no patches that could be left out (allowed: model=vit)")
    if dim % _HEAD_DIM:
        raise UserError(f"pretraining.dim={dim}: allowed is a multiple of {_HEAD_DIM}")


@pretraining_method(_check)
def masked(
    model: nn.Module,
    data: Data,
    *,
    ratio: Share = 0.75,
    dim: Count = 64,
    depth: Layers = 2,
) -> Pretext:
    """Minimize the squared error of the patches that are left out, each normalized by its own mean and deviation.

    He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners", section 3. The encoder computes with the other
    patches only; the decoder, a small transformer, is thrown away afterwards.

    Args:
        ratio: part of the patches that are left out.
        dim, depth: width and number of blocks of the decoder.
    """
    shape = data.input_shape
    return Pretext(lambda trunk: _Masked(trunk, shape, ratio, dim, depth), _plain)


def _plain(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Images as they are: what is left out is left out of their tokens."""
    return images, targets


class _Masked(nn.Module):
    """The decoder, and hooks on the encoder: tokens leave behind its embedding, while gradients are wanted."""

    collapses = False  # all embeddings the same make it large

    def __init__(self, trunk: nn.Sequential, shape: tuple[int, int, int], ratio: float, dim: int, depth: int) -> None:
        super().__init__()
        self.shape, self.patch = shape, trunk[0].projection.kernel_size[0]
        tokens, width = trunk[0].position.shape[1:]
        self.visible = max(1, round((1 - ratio) * tokens))
        self.embedding = nn.Linear(width, dim)
        self.mask = nn.Parameter(torch.zeros(dim))
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(tokens, dim), std=0.02))
        self.blocks = nn.Sequential(*(EncoderBlock(dim, dim // _HEAD_DIM, 2 * dim, 0.0) for _ in range(depth)))
        self.pixels = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, shape[0] * self.patch**2))
        self.order, self.tokens = torch.empty(0), torch.empty(0)
        last = next(module for module in reversed(trunk) if isinstance(module, nn.LayerNorm))
        self.hooks = [trunk[0].register_forward_hook(self._leave_out), last.register_forward_hook(self._remember)]

    def forward(self, images: Tensor, targets: Tensor, features: Tensor) -> Tensor:
        meant = patches(images, self.patch)  # (n, tokens, pixels)
        mean, std = _mean_and_std(meant)
        errors = F.mse_loss(self._drawn(), (meant - mean) / std, reduction="none").mean(-1)
        return errors.gather(1, self.order[:, self.visible :]).mean()

    def draw(self, model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images without the patches that are left out, which are gray, and with these as they are drawn.

        A drawn patch is given the mean and deviation of the one that is meant, which it was not trained to find.
        """
        with torch.enable_grad():  # without, none is left out
            model(images)
            drawn = self._drawn().detach()
        meant = patches(images, self.patch)
        mean, std = _mean_and_std(meant)
        hidden = torch.ones_like(meant, dtype=torch.bool)
        hidden.scatter_(1, self.order[:, : self.visible, None].expand(-1, -1, meant.shape[-1]), False)
        shown = meant.masked_fill(hidden, 0), torch.where(hidden, drawn * std + mean, meant)
        size = images.shape[-2:]
        return tuple(F.fold(one.transpose(1, 2), size, self.patch, stride=self.patch) for one in shown)

    def embed(self, features: Tensor) -> Tensor:
        """The features themselves (n, D)."""
        return features

    def close(self) -> None:
        """Take the hooks off the encoder."""
        for hook in self.hooks:
            hook.remove()

    def _drawn(self) -> Tensor:
        """All patches (n, tokens, pixels), as the decoder draws them after a forward pass of the encoder."""
        seen = self.embedding(self.tokens)
        absent = self.mask.to(seen.dtype).expand(len(seen), self.order.shape[1] - self.visible, -1)
        back = self.order.argsort(1)[..., None].expand(-1, -1, seen.shape[-1])
        return self.pixels(self.blocks(torch.cat([seen, absent], 1).gather(1, back) + self.position))

    def _leave_out(self, module: nn.Module, args: tuple[Tensor], tokens: Tensor) -> Tensor | None:
        """The tokens (n, visible, width) that the encoder sees of (n, tokens, width); None, all, without gradients."""
        if not torch.is_grad_enabled():
            return None
        count, length, width = tokens.shape
        draws = torch.rand(count * world_size(), length, device=tokens.device)
        self.order = share(draws).argsort(1)  # those that come first are seen
        return tokens.gather(1, self.order[:, : self.visible, None].expand(-1, -1, width))

    def _remember(self, module: nn.Module, args: tuple[Tensor], tokens: Tensor) -> None:
        """Keep what the encoder makes of the tokens."""
        self.tokens = tokens


def _mean_and_std(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Of the pixels of each patch (n, tokens, pixels): two of (n, tokens, 1)."""
    return patches.mean(-1, keepdim=True), (patches.var(-1, keepdim=True, correction=0) + _EPSILON).sqrt()


def patches(images: Tensor, size: int) -> Tensor:
    """Images (n, C, S, S) as patches (n, tokens, C x size x size), row by row."""
    return F.unfold(images, size, stride=size).transpose(1, 2)
