"""One trainer for the tests of all methods: the real one, with the real loop, on a few small images.

It notes what it is asked for, and lets tests look at the model after every update.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from effdl.config.instantiate import instantiate
from effdl.config.options import config_folder, content
from effdl.config.validation import check_call
from effdl.data.build import Data
from effdl.data.source import Images
from effdl.data.statistics import channel_statistics
from effdl.measure.energy import EnergyMeter
from effdl.models.mlp import mlp
from effdl.training.callbacks import Callbacks
from effdl.training.checkpoint import Checkpoint
from effdl.training.device import Device
from effdl.training.epoch_log import EpochLog
from effdl.training.loop import fit
from effdl.training.optimizers import sgd
from effdl.training.recipe import Recipe
from effdl.training.schedules import constant
from effdl.training.trainer import Trainer
from effdl.utils.rows import Rows

PLAIN_SGD = partial(sgd, lr=0.05, nesterov=False, weight_decay=0.05)


class Asked(NamedTuple):
    """A training that was asked for; `epochs` is the length of its schedule."""

    epochs: int
    lr_scale: float
    first_epoch: int


@dataclass
class NotingTrainer(Trainer):
    """A trainer that notes its trainings.

    Args:
        batches: how many an epoch has; 0: trainings are noted and not carried out.
        asked: the trainings, in their order.
        looks: called with the model and the finished part of the training after every update.
    """

    batches: int = 0
    asked: list[Asked] = field(default_factory=list)
    looks: list[Callable[[nn.Module, float], None]] = field(default_factory=list)


def data_of(train: Images, val: Images | None = None) -> Data:
    """Ten classes of images in memory, with nothing to test on but what is trained on."""
    mean, std = channel_statistics(train)
    classes = tuple("0123456789")
    return Data("made", train, val, train, classes, train.channels, train.image_size, mean, std, "")


def noise(count: int, shape: tuple[int, int, int]) -> Data:
    """Images and labels that have nothing to do with each other."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(256, (count, *shape), generator=generator, dtype=torch.uint8)
    return data_of(Images(images, torch.randint(10, (count,), generator=generator)))


@pytest.fixture(scope="session")
def make_data() -> Callable[..., Data]:
    """`data_of` images."""
    return data_of


class OtherLoss(nn.Module):
    """A function of the logits and the loss, in the place of the loss."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, images: Tensor, targets: Tensor, logits: Tensor, loss: Tensor) -> Tensor:
        return self.function(logits, loss)

    def close(self) -> None:
        """There are no hooks."""


@pytest.fixture(scope="session")
def noisy_patterns() -> Data:
    """A pattern of 8x8 pixels for each of ten classes, under noise: 640 images to train on, 500 to validate on."""
    generator = torch.Generator().manual_seed(5)
    patterns, labels = torch.randn(10, 1, 8, 8, generator=generator), torch.randint(10, (1140,), generator=generator)
    images = patterns[labels] + 0.8 * torch.randn(1140, 1, 8, 8, generator=generator)
    pixels = (128 + 28 * images).round().clamp(0, 255).to(torch.uint8)
    return data_of(Images(pixels[:640], labels[:640]), Images(pixels[640:], labels[640:]))


def new_trainer(
    folder: Path,
    data: Data | None = None,
    *,
    shape: tuple[int, int, int] = (1, 8, 8),
    batches: int = 0,
    epochs: int = 6,
    batch_size: int = 16,
    optimizer: Callable[[nn.Module], torch.optim.Optimizer] = PLAIN_SGD,
    schedule: Callable[..., float] = constant,
    callback: object = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    **fields,
) -> NotingTrainer:
    """A trainer on a data set, or on noise of a shape.

    Args:
        callback: told of the trainings.
        loss: of logits and loss, in the place of the loss.
        fields: the trainer's others.
    """
    data = data or noise(640, shape)
    recipe = Recipe(epochs, batch_size, optimizer, schedule)
    device = Device(torch.device("cpu"))

    def train(model: nn.Module, recipe: Recipe, stage: str, number: int) -> nn.Module:
        trainer.asked.append(Asked(recipe.epochs, recipe.lr_scale, recipe.first_epoch))
        if not trainer.batches:
            return model.eval()

        def after_update(model: nn.Module, progress: float) -> None:
            for look in (recipe.after_update, *trainer.looks):
                if look:
                    look(model, progress)

        images = data.train.select(torch.arange(len(data.train))[: trainer.batches * recipe.batch_size])
        return fit(
            model,
            replace(data, train=images),
            replace(recipe, after_update=after_update),
            device,
            seed=number,
            checkpoint=Checkpoint(folder, number, "run"),
            meter=EnergyMeter(enabled=False, country=None, pue=1.0),
            callbacks=Callbacks([callback] if callback else []),
            log=EpochLog(Rows(folder / "epochs.jsonl"), stage, number),
        )

    fields = {"fresh_model": lambda: mlp(1, 8, 10, hidden=[30]), "early_weights": dict, **fields}
    trainer = NotingTrainer(data, recipe, device, train, batches=batches, **fields)
    if loss:
        trainer.distillation_losses.append((lambda stage: True, lambda model, trainer: OtherLoss(loss)))
    return trainer


@pytest.fixture
def make_trainer(tmp_path) -> Callable[..., NotingTrainer]:
    """`new_trainer` in this test's folder, or in another."""
    return lambda data=None, *, folder=tmp_path, **options: new_trainer(folder, data, **options)


@pytest.fixture(scope="session")
def train_for_all(tmp_path_factory) -> Callable[..., nn.Module]:
    """Train a model that tests share, for all epochs: ``train_for_all(model, data, **options of the trainer)``."""

    def train(model: nn.Module, data: Data, **options) -> nn.Module:
        trainer = new_trainer(tmp_path_factory.mktemp("trained"), data, **options)
        return trainer.fit(model, epochs=trainer.recipe.epochs)

    return train


@pytest.fixture(scope="session")
def shipped() -> Callable[..., nn.Module]:
    """Carry out a method with the values of its shipped file, checked, and what is given besides."""

    def carry_out(name: str, model: nn.Module, trainer: Trainer, level, **keys) -> nn.Module:
        node = content(config_folder() / "compression" / f"{name}.yaml")
        node = {**node, "level": level, **keys}
        check_call(f"compression.{name}", node, {"stage": str, "during": list[str] | None})
        return instantiate(node)(model, trainer)

    return carry_out
