"""A small bench that really trains, and methods as their shipped files configure them."""

import copy
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch
import yaml
from torch.nn import functional as F

from effdl.config.instantiate import instantiate
from effdl.config.options import config_folder
from effdl.config.validation import check_call
from effdl.models.resnet import resnet


@dataclass
class TrainingBench:
    """Noisy patterns of 8x8 pixels, one for each of ten classes; ten batches an epoch."""

    noise: float = 0.8
    asked: list = field(default_factory=list)
    look: list = field(default_factory=list)  # functions called with the model after every update
    recipe: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(epochs=8, ema=None))

    def calibration_batches(self, count, batch_size=64):
        generator = torch.Generator().manual_seed(5)
        patterns = torch.randn(10, 1, 8, 8, generator=generator)
        labels = torch.randint(10, (count,), generator=generator)
        images = patterns[labels] + self.noise * torch.randn(count, 1, 8, 8, generator=generator)
        return list(zip(images.split(batch_size), labels.split(batch_size), strict=True))

    def fit(self, model, *, epochs=None, lr_scale=1.0, after_update=None):
        self.asked.append((epochs, lr_scale))
        epochs = (self.recipe.epochs + 1) // 2 if epochs is None else epochs
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(parameters, lr=0.1 * lr_scale, momentum=0.9, weight_decay=5e-4)
        model.train()
        for images, labels in self.calibration_batches(640 * epochs)[: 10 * epochs]:
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
            with torch.no_grad():
                if after_update:
                    after_update(model, 1.0)
                for look in self.look:
                    look(model)
        return model.eval()

    def accuracy(self, model):
        images, labels = (torch.cat(part) for part in zip(*self.calibration_batches(1000), strict=True))
        with torch.no_grad():
            return (model(images).argmax(1) == labels).double().mean().item()


@pytest.fixture
def trainer():
    return TrainingBench()


@pytest.fixture(scope="session")
def trained():
    """A ResNet-8 of half the width that knows the patterns."""
    torch.manual_seed(0)
    return TrainingBench().fit(resnet(1, 8, 10, depth=8, width=0.5), epochs=5, lr_scale=0.5)


@pytest.fixture
def dense(trained):
    return copy.deepcopy(trained)


@pytest.fixture
def compress():
    """Carry out a method with the values of its shipped file, checked, and what is given besides."""

    def run(name, model, trainer, level, **keys):
        node = yaml.safe_load((config_folder() / "compression" / f"{name}.yaml").read_text())
        node = {**node, "level": level, **keys}
        check_call(f"compression.{name}", node, {"stage": str})
        torch.manual_seed(1)
        return instantiate(node)(model, trainer)

    return run
