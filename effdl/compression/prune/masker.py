"""Masker: scores the weights of a model and sets those of lowest score to zero, exactly as many as requested."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from effdl.compression.prune.sparsity_schedules import geometric
from effdl.compression.prune.topk_mask import allocate, topk_mask
from effdl.nn.layers import weights
from effdl.nn.mask import mask_of, under_mask
from effdl.training.trainer import Trainer
from effdl.utils.errors import UserError

Criterion = Callable[[nn.Module, Trainer], list[Tensor]]  # a tensor of scores for each weight of `weights(model)`


@dataclass(frozen=True)
class Masker:
    """Sets weights of a model to zero until it reaches a sparsity.

    Weights that are zero already, masked or not, stay zero and count as zeros. The weights of layers that are not
    pruned count as weights, too.

    Args:
        trainer: passed to the criterion.
        criterion: scores the weights; those of lowest score are set to zero.
        passes: number of steps in which the sparsity is reached; the criterion is evaluated in each.
        scope: one ranking for all layers, or the same fraction of each layer.
        amounts: the amount of each layer (see `amounts.layer_amounts`); 0 if it is not pruned.
    """

    trainer: Trainer
    criterion: Criterion
    passes: int
    scope: Literal["global", "layer"]
    amounts: list[float]

    def hold(self, model: nn.Module, level: float) -> nn.Module:
        """Mask weights until the fraction `level` of all is zero; they stay zero in later training."""
        return self.apply(model, level, lambda module, name, keep: mask_of(module, name).keep.logical_and_(keep))

    def erase(self, model: nn.Module, level: float) -> nn.Module:
        """Set weights to zero until the fraction `level` of all is zero; later training may change them again."""
        return self.apply(model, level, lambda module, name, keep: under_mask(module, name).masked_fill_(~keep, 0.0))

    @torch.no_grad()
    def apply(self, model: nn.Module, level: float, zero: Callable[[nn.Module, str, Tensor], object]) -> nn.Module:
        """Reach the level in `passes` steps, each of which sets the same fraction of the non-zero weights to zero."""
        layers = list(weights(model))
        for target in geometric(sparsity(model), level, self.passes):
            for (_, module, name), keep, amount in zip(layers, self.keeps(model, target), self.amounts, strict=True):
                if amount:
                    zero(module, name, keep)
        return model

    def keeps(self, model: nn.Module, level: float) -> list[Tensor]:
        """The weights to keep (bool, one tensor per layer) so that the fraction `level` of all is zero."""
        tensors = [getattr(module, name).detach() for _, module, name in weights(model)]
        sizes, zeros = [tensor.numel() for tensor in tensors], [int((tensor == 0).sum()) for tensor in tensors]
        count = round(level * sum(sizes))
        if sum(zeros) >= count:  # the level is reached already: no scores are needed
            return [tensor != 0 for tensor in tensors]
        scores = [
            score.where(tensor != 0, -torch.inf)
            for tensor, score in zip(tensors, self.criterion(model, self.trainer), strict=True)
        ]
        if self.scope == "layer":
            counts = allocate(sizes, zeros, self.amounts, count)
            return [topk_mask([score], number)[0] for score, number in zip(scores, counts, strict=True)]
        # In layers that are not pruned only weights that are zero already have the lowest scores.
        pairs = zip(scores, self.amounts, strict=True)
        return topk_mask([s if amount else s.where(s == -torch.inf, torch.inf) for s, amount in pairs], count)


def check_level(model: nn.Module, level: float, amounts: list[float]) -> None:
    """Check that a level can be reached by the layers that are pruned.

    Args:
        amounts: see `Masker`.

    Raises:
        UserError: it cannot; the message has the largest level.
    """
    tensors = [getattr(module, name) for _, module, name in weights(model)]
    total = sum(tensor.numel() for tensor in tensors)
    reachable = sum(
        tensor.numel() if amount else int((tensor == 0).sum()) for tensor, amount in zip(tensors, amounts, strict=True)
    )
    if round(level * total) > reachable:
        raise UserError(
            f"prune={level}: the layers to prune hold {reachable / total:.4f} of the weights; "
            "exclude less, or prune less than that"
        )


def sparsity(model: nn.Module) -> float:
    """The fraction of the weights of convolutions, linear layers and attention projections that are zero."""
    tensors = [getattr(module, name) for _, module, name in weights(model)]
    return sum(int((tensor == 0).sum()) for tensor in tensors) / sum(tensor.numel() for tensor in tensors)
