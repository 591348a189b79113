"""One cut: score the weights and zero those of lowest score, exactly as many as asked for."""

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

Criterion = Callable[[nn.Module, Trainer], list[Tensor]]  # a score for each weight, in the order of `weights(model)`


@dataclass(frozen=True)
class Masker:
    """Brings a model to a sparsity.

    Weights that are zero already, by an earlier mask or by themselves, stay zero and count, as do the weights of layers
    that nothing is taken from (`amounts` 0).
    """

    trainer: Trainer
    criterion: Criterion
    passes: int  # the criterion is asked anew so many times on the way
    scope: Literal["global", "layer"]
    amounts: list[float]  # of each layer

    def hold(self, model: nn.Module, level: float) -> nn.Module:
        """Mask weights until the fraction `level` of all is zero; they stay zero from now on."""
        return self.apply(model, level, lambda module, name, keep: mask_of(module, name).keep.logical_and_(keep))

    def erase(self, model: nn.Module, level: float) -> nn.Module:
        """Set weights to zero until the fraction `level` of all is zero; a training may bring them back."""
        return self.apply(model, level, lambda module, name, keep: under_mask(module, name).masked_fill_(~keep, 0.0))

    @torch.no_grad()
    def apply(self, model: nn.Module, level: float, zero: Callable[[nn.Module, str, Tensor], object]) -> nn.Module:
        """In `passes` steps, each of which takes the same fraction of what is left."""
        layers = list(weights(model))
        for target in geometric(sparsity(model), level, self.passes):
            for (_, module, name), keep, amount in zip(layers, self.keeps(model, target), self.amounts, strict=True):
                if amount:
                    zero(module, name, keep)
        return model

    def keeps(self, model: nn.Module, level: float) -> list[Tensor]:
        """Which weights (bool, one tensor per layer) to keep so that the fraction `level` of all is zero."""
        tensors = [getattr(module, name).detach() for _, module, name in weights(model)]
        sizes, zeros = [tensor.numel() for tensor in tensors], [int((tensor == 0).sum()) for tensor in tensors]
        count = round(level * sum(sizes))
        if sum(zeros) >= count:  # nothing to choose: the criterion is not asked
            return [tensor != 0 for tensor in tensors]
        scores = [
            score.where(tensor != 0, -torch.inf)
            for tensor, score in zip(tensors, self.criterion(model, self.trainer), strict=True)
        ]
        if self.scope == "layer":
            counts = allocate(sizes, zeros, self.amounts, count)
            return [topk_mask([score], number)[0] for score, number in zip(scores, counts, strict=True)]
        # In layers that are left alone nothing but what is zero already is among the lowest.
        pairs = zip(scores, self.amounts, strict=True)
        return topk_mask([s if amount else s.where(s == -torch.inf, torch.inf) for s, amount in pairs], count)

    def check_level(self, model: nn.Module, level: float) -> None:
        """Refuse a level that cannot be reached without the layers that are left alone.

        Raises:
            UserError: says how much can be pruned.
        """
        tensors = [getattr(module, name) for _, module, name in weights(model)]
        total = sum(tensor.numel() for tensor in tensors)
        reachable = sum(
            tensor.numel() if amount else int((tensor == 0).sum())
            for tensor, amount in zip(tensors, self.amounts, strict=True)
        )
        if round(level * total) > reachable:
            raise UserError(
                f"prune={level}: the layers to prune hold {reachable / total:.4f} of the weights; "
                "exclude less, or prune less than that"
            )


def sparsity(model: nn.Module) -> float:
    """Fraction of the conv and linear weights that are zero."""
    tensors = [getattr(module, name) for _, module, name in weights(model)]
    return sum(int((tensor == 0).sum()) for tensor in tensors) / sum(tensor.numel() for tensor in tensors)
