"""How a model is trained: plain values, fixed for one training."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from effdl.training.transfer import ALL_LEARN, Transfer


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Args:
        lr_scale: multiplies the optimizer's learning rate, for fine-tuning.
        first_epoch: so many epochs of the schedule are left out at its beginning.
        penalties: ``penalty(model)`` of each is a scalar added to the loss of every batch.
        after_update: ``after_update(model, progress)`` is called after every optimizer step, with the finished part of
            this training, in (0, 1].
        distillation_losses: each makes the loss of a distillation for the model that is trained.
        objective: makes what is minimized in place of the loss of the labels (see `effdl.training.objective`); the
            model then gives features.
        transfer: which parameters learn, and how fast.
        cached_views: so many augmented views of every image are computed once where the last layer learns alone, and
            trained on; None: images are augmented anew in every epoch.
        keep_epoch: the weights after so many epochs are kept, to rewind to.
    """

    epochs: int
    batch_size: int
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    schedule: Callable[..., float]
    augment: tuple[Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], ...] = ()
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    ema: float | None = None
    early_stop: int | None = None
    eval_batch_size: int = 250
    lr_scale: float = 1.0
    first_epoch: int = 0
    penalties: tuple[Callable[[nn.Module], Tensor], ...] = ()
    after_update: Callable[[nn.Module, float], None] | None = None
    distillation_losses: tuple[Callable[[nn.Module], nn.Module], ...] = ()
    objective: Callable[[nn.Module], nn.Module] | None = None
    transfer: Transfer = ALL_LEARN
    cached_views: int | None = None
    keep_epoch: int | None = None

    @property
    def length(self) -> int:
        """Number of epochs that are trained."""
        return self.epochs - self.first_epoch
