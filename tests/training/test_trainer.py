"""What a compression method asks of its trainer."""

import pytest
import torch
from torch import nn

from effdl.data.build import load
from effdl.training.device import Device
from effdl.training.recipe import Recipe
from effdl.training.trainer import Trainer


@pytest.fixture(scope="module")
def data(digits_config):
    return load(digits_config(subset=300))


def trainer(data, **changes):
    asked = []

    def train(model, recipe, stage, number):
        asked.append((recipe, stage, number))
        return model

    recipe = Recipe(epochs=7, batch_size=32, optimizer=None, schedule=None, keep_epoch=2)
    made = Trainer(data, recipe, Device(torch.device("cpu")), train, nn.Flatten, dict, **changes)
    return made, asked


def test_a_training_is_half_as_long_by_default_and_numbered(data):
    made, asked = trainer(data, stage="prune")
    made.fit(nn.Flatten())
    made.fit(nn.Flatten(), epochs=7, first_epoch=4, lr_scale=0.1)
    (first, stage, zero), (second, _, one) = asked
    assert (first.epochs, first.length, first.lr_scale, stage, zero) == (4, 4, 1.0, "prune", 0)
    assert (second.epochs, second.length, second.lr_scale, one) == (7, 3, 0.1, 1)
    assert first.keep_epoch is None


def test_only_the_first_training_keeps_early_weights(data):
    made, asked = trainer(data, stage="dense")
    made.fit(nn.Flatten())
    assert asked[0][0].keep_epoch == 2


def test_distillation_losses_apply_to_their_stages_and_are_made_for_the_model(data):
    made, asked = trainer(
        data, stage="prune-2", distillation_losses=[(lambda stage: stage == "prune", lambda *given: given)]
    )
    made.fit(nn.Flatten(), distillation_loss=lambda model: "own")
    student = nn.Flatten()
    assert [make(student) for make in asked[0][0].distillation_losses] == [(student, made), "own"]
    made.stage = "quantize"
    made.fit(nn.Flatten())
    assert asked[1][0].distillation_losses == ()


def test_calibration_batches_are_training_images_as_the_model_sees_them(data):
    made, _ = trainer(data)
    torch.manual_seed(0)
    batches = made.calibration_batches(100, batch_size=64)
    assert [len(labels) for _, labels in batches] == [64, 36]
    images, labels = torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])
    assert images.dtype == torch.float32
    assert images.shape == (100, *made.input_shape)
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (data.mean, data.std))
    raw = (images * std + mean).round().to(torch.uint8)
    known = {(bytes(x.numpy().tobytes()), int(y)) for x, y in zip(data.train.images, data.train.labels, strict=True)}
    found = [(bytes(x.numpy().tobytes()), int(y)) for x, y in zip(raw, labels, strict=True)]
    assert set(found) <= known
    assert len(made.calibration_batches(10**6)[0][1]) == 64
    torch.manual_seed(0)
    assert torch.equal(made.calibration_batches(100)[0][0], batches[0][0])


def test_accuracy_is_that_of_the_validation_split(data):
    class Oracle(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_parameter("dummy", nn.Parameter(torch.zeros(())))
            self.seen = 0

        def forward(self, x):
            labels = data.val.labels[self.seen : self.seen + len(x)]
            self.seen += len(x)
            return nn.functional.one_hot((labels + (torch.arange(len(labels)) % 2)) % 10, 10).float()

    assert trainer(data)[0].accuracy(Oracle()) == pytest.approx(0.5, abs=1 / len(data.val))


def test_the_teacher_is_what_the_name_says(data):
    made, _ = trainer(data, teachers={"folder": "loaded"}, dense="dense")
    assert (made.teacher("folder"), made.teacher("self")) == ("loaded", "dense")
