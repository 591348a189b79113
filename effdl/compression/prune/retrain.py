"""Training after pruning: fine-tuning, learning-rate rewinding, weight rewinding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from effdl.config.types import Natural, Positive, ReadIf
from effdl.training.trainer import Trainer
from effdl.utils.errors import UserError

How = Literal["finetune", "rewind_lr", "rewind_weights"]
RewindEpoch = Annotated[Natural, ReadIf(retrain=Literal["rewind_lr", "rewind_weights"])]
LRScale = Annotated[Positive, ReadIf(retrain=Literal["finetune"])]


@dataclass(frozen=True)
class Retraining:
    """The training of a pruned model.

    Args:
        trainer: trains the model.
        how: ``finetune``: train for `epochs` (None: half of the run's) at `lr_scale` times the learning rate (Han et
            al. 2015). ``rewind_lr``: repeat the run's schedule, stretched to `epochs` (None: the run's), from
            `rewind_epoch` on (Renda, Frankle & Carbin 2020, "Comparing Rewinding and Fine-tuning in Neural Network
            Pruning", section 2). ``rewind_weights``: the same, starting from the weights that the first training had
            after `rewind_epoch` epochs, the lottery ticket (Frankle & Carbin 2019; with an epoch above 0, Frankle et
            al. 2020, "Linear Mode Connectivity and the Lottery Ticket Hypothesis").
        rewind_epoch: number of epochs of the schedule that are not repeated.
        epochs: number of epochs of the fine-tuning, or of the schedule that is rewound.
        lr_scale: factor on the run's learning rate in fine-tuning.

    Raises:
        UserError: `rewind_epoch` is beyond the end of the schedule.
    """

    trainer: Trainer
    how: How
    rewind_epoch: int
    epochs: int | None
    lr_scale: float

    def __post_init__(self) -> None:
        if self.how != "finetune" and self.rewind_epoch > self.schedule:
            raise UserError(f"rewind_epoch={self.rewind_epoch}: allowed is at most epochs={self.schedule}")

    @property
    def schedule(self) -> int:
        """Number of epochs of the whole schedule that is rewound."""
        return self.trainer.recipe.epochs if self.epochs is None else self.epochs

    @property
    def length(self) -> int:
        """Number of epochs that the model is trained for."""
        if self.how != "finetune":
            return self.schedule - self.rewind_epoch
        return (self.trainer.recipe.epochs + 1) // 2 if self.epochs is None else self.epochs

    def __call__(self, model: nn.Module, after_update: Callable[[nn.Module, float], None] | None = None) -> nn.Module:
        """Train a model in place and return it; `after_update` is that of `Trainer.fit`."""
        if self.how == "finetune":
            return self.trainer.fit(model, epochs=self.epochs, lr_scale=self.lr_scale, after_update=after_update)
        if self.how == "rewind_weights":
            rewind(model, self.trainer.early_weights())
        return self.trainer.fit(model, epochs=self.schedule, first_epoch=self.rewind_epoch, after_update=after_update)


@torch.no_grad()
def rewind(model: nn.Module, early: dict[str, Tensor]) -> None:
    """Load the weights and statistics of an earlier state dict into a model, in place; masks stay.

    Args:
        early: state dict of the same model without parametrizations.

    Raises:
        UserError: the layers of the model have changed since.
    """
    state = model.state_dict()
    for name, tensor in early.items():
        layer, _, attribute = name.rpartition(".")
        key = name if name in state else f"{layer}.parametrizations.{attribute}.original".removeprefix(".")
        if key not in state or state[key].shape != tensor.shape:
            raise UserError(
                f"retrain=rewind_weights: {name} is not what it was in the first training, since an earlier step "
                "changed the layers; put that step after this one, or take retrain=rewind_lr"
            )
        state[key].copy_(tensor)
