"""A small bench that really trains, on random images, and notes what it was asked for."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F


@dataclass
class SmallBench:
    """What `effdl.training.trainer.Trainer` offers to pruning; `steps` batches an epoch, none if it is 0."""

    input_shape: tuple = (1, 8, 8)
    steps: int = 0
    asked: list = field(default_factory=list)
    recipe: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(epochs=6))
    early: dict = field(default_factory=dict)
    seen: list = field(default_factory=list)  # fraction of zeros after every update

    def fit(self, model, *, epochs=None, lr_scale=1.0, first_epoch=0, after_update=None):
        self.asked.append({"epochs": epochs, "lr_scale": lr_scale, "first_epoch": first_epoch})
        epochs = ((self.recipe.epochs + 1) // 2 if epochs is None else epochs) - first_epoch
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05 * lr_scale, momentum=0.9, weight_decay=0.05)
        model.train()
        for step in range(epochs * self.steps):
            images, labels = torch.randn(16, *self.input_shape), torch.randint(10, (16,))
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
            if after_update:
                with torch.no_grad():
                    after_update(model, (step + 1) / (epochs * self.steps))
            self.seen.append(zeros(model))
        return model.eval()

    def calibration_batches(self, count, batch_size=64):
        generator = torch.Generator().manual_seed(3)
        images = torch.randn(count, *self.input_shape, generator=generator)
        labels = torch.randint(10, (count,), generator=generator)
        return list(zip(images.split(batch_size), labels.split(batch_size), strict=True))

    def early_weights(self):
        return self.early


def zeros(model):
    from effdl.nn.layers import weights

    tensors = [getattr(module, name).detach() for _, module, name in weights(model)]
    return sum(int((t == 0).sum()) for t in tensors) / sum(t.numel() for t in tensors)


@pytest.fixture
def trainer():
    """A bench that notes what it is asked for and trains nothing; ``trainer.steps = 3`` makes it train."""
    return SmallBench()


@pytest.fixture
def pruned():
    """Prune with the defaults of the shipped file of a criterion, and what is given besides."""
    from effdl.config.instantiate import instantiate
    from effdl.config.options import config_folder, content

    def run(model, trainer, level, *, name="magnitude", **keys):
        node = content(config_folder() / "compression" / f"{name}.yaml")
        return instantiate({**node, "level": level, **keys})(model, trainer)

    return run
