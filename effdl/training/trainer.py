"""What a compression method is given besides the model."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from effdl.data.build import Data
from effdl.data.loader import normalized_batches
from effdl.measure.accuracy import accuracy
from effdl.training.device import Device
from effdl.training.recipe import Recipe
from effdl.training.transfer import ALL_LEARN, Transfer

MakeLoss = Callable[[nn.Module, "Trainer"], nn.Module]  # see `effdl.training.distillation_loss`


@dataclass
class Trainer:
    """The data, the run's recipe, and ways to train, to look at images, and to get at other models.

    Trainings are numbered in the order in which they are asked for. A resumed run carries its steps out again from
    the start, and each training that was finished before returns at once with the weights it ended with; so a step
    needs no code for resuming, as long as it is deterministic and keeps what its training changes in the model's
    state dict. Steps draw from PyTorch's global random numbers, which are seeded before each step and after each
    training.

    Args:
        train: ``train(model, recipe, stage, number)`` carries a training out.
        fresh_model: an untrained model of the run's config, drawn from the global random numbers.
        early_weights: the state dict of the first training after `Recipe.keep_epoch` epochs.
        teachers: those that a run folder or a config names, by that name.
        distillation_losses: what makes them, each with the question whether it applies to the trainings of a stage.
        dense: a frozen copy of the model as the first training left it.
        stage: the stage that is being run.
        trainings: how many were asked for.
    """

    data: Data
    recipe: Recipe
    device: Device
    train: Callable[[nn.Module, Recipe, str, int], nn.Module]
    fresh_model: Callable[[], nn.Module]
    early_weights: Callable[[], dict[str, Tensor]]
    teachers: dict[str, nn.Module] = field(default_factory=dict)
    distillation_losses: list[tuple[Callable[[str], bool], MakeLoss]] = field(default_factory=list)
    dense: nn.Module | None = None
    stage: str = ""
    trainings: int = 0

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        return self.data.input_shape

    def fit(
        self,
        model: nn.Module,
        *,
        epochs: int | None = None,
        lr_scale: float = 1.0,
        first_epoch: int = 0,
        penalty: Callable[[nn.Module], Tensor] | None = None,
        after_update: Callable[[nn.Module, float], None] | None = None,
        distillation_loss: Callable[[nn.Module], nn.Module] | None = None,
    ) -> nn.Module:
        """Train a model in place and return it in eval mode; see `Recipe` for the arguments.

        Args:
            epochs: length of the schedule; None: half of the run's.
            penalty: one more, for this training only.
            distillation_loss: makes one more of the student, for this training only.
        """
        kind = self.stage.partition("-")[0]
        losses = [
            lambda model, make=make: make(model, self) for applies, make in self.distillation_losses if applies(kind)
        ]
        recipe = replace(
            self.recipe,
            epochs=(self.recipe.epochs + 1) // 2 if epochs is None else epochs,
            lr_scale=lr_scale,
            first_epoch=first_epoch,
            penalties=(*self.recipe.penalties, *([penalty] if penalty else [])),
            after_update=after_update,
            distillation_losses=(*losses, *([distillation_loss] if distillation_loss else [])),
            transfer=self._transfer(),
            keep_epoch=self.recipe.keep_epoch if self.stage == "dense" else None,
        )
        self.trainings += 1
        return self.train(model, recipe, self.stage, self.trainings - 1)

    def pretrain(
        self,
        trunk: nn.Module,
        objective: Callable[[nn.Module], nn.Module],
        augment: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
        *,
        epochs: int,
        batch_size: int | None = None,
        lr_scale: float = 1.0,
    ) -> nn.Module:
        """Train the trunk of a model in place without labels and return it in eval mode.

        What belongs to labels in the run's recipe (its augmentation, distillation, smoothing, average of the weights,
        early stop) is left out.

        Args:
            trunk: the model without its last layer: images (n, C, H, W) to features (n, D).
            objective: makes what is minimized of the trunk, see `effdl.training.objective`.
            augment: makes the views, see `effdl.data.random_views`.
            batch_size: None: the run's.
        """
        recipe = replace(
            self.recipe,
            epochs=epochs,
            batch_size=batch_size or self.recipe.batch_size,
            lr_scale=lr_scale,
            augment=(augment,),
            objective=objective,
            transfer=ALL_LEARN,
            ema=None,
            early_stop=None,
            keep_epoch=None,
        )
        self.trainings += 1
        return self.train(trunk, recipe, self.stage, self.trainings - 1)

    def _transfer(self) -> Transfer:
        """What learns in this stage: all of a teacher; parts are unfrozen in the first training."""
        if self.stage == "teacher":
            return ALL_LEARN
        return self.recipe.transfer if self.stage == "dense" else replace(self.recipe.transfer, unfreeze=None)

    def calibration_batches(self, count: int, batch_size: int = 64) -> list[tuple[Tensor, Tensor]]:
        """Random training images, not augmented: normalized float32 (n, C, H, W) and labels (n,), on the device."""
        chosen = torch.randperm(len(self.data.train))[:count].sort().values
        images = self.data.train.select(chosen)
        return list(normalized_batches(images, self.data, batch_size, self.device.torch_device))

    def accuracy(self, model: nn.Module) -> float:
        """Top-1 on the validation split, or on the training split if there is none; 0 to 1."""
        images = self.data.val or self.data.train
        batches = normalized_batches(images, self.data, self.recipe.eval_batch_size, self.device.torch_device)
        return accuracy(model, batches, (1,))["top1"]

    def teacher(self, level: str) -> nn.Module:
        """The frozen teacher that ``distill=`` names: "self" is the model that the run's first training gave."""
        return self.dense if level == "self" else self.teachers[level]
