"""Born-again networks: new models in turn, each taught by the one before."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from effdl.compression.distill.born_again import born_again
from effdl.compression.distill.logits import divergence
from effdl.models.mlp import mlp
from effdl.utils.files import read_rows

DEFAULTS = {"level": "born_again", "temperature": 1.0, "weight": 0.5}


class Notes:
    """A bench that notes what it is asked for."""

    recipe = SimpleNamespace(epochs=7)

    def __init__(self):
        self.asked = []

    def fresh_model(self):
        return nn.Linear(4, 3)

    def fit(self, model, *, epochs, distillation_loss):
        self.asked.append((model, epochs, distillation_loss(model)))
        return model


@pytest.mark.parametrize("generations", [1, 3])
def test_every_generation_learns_from_the_one_before(generations):
    trainer, first = Notes(), nn.Linear(4, 3)
    last = born_again(first, trainer, generations=generations, **DEFAULTS)
    models = [model for model, _, _ in trainer.asked]
    assert len({id(model) for model in (first, *models)}) == generations + 1
    assert last is models[-1]
    assert [epochs for _, epochs, _ in trainer.asked] == [7] * generations
    images, loss = torch.randn(5, 4), torch.tensor(2.0)
    for teacher, (student, _, distillation_loss) in zip([first, *models], trainer.asked, strict=False):
        logits = student(images)
        expected = 0.5 * loss + 0.5 * divergence(logits, teacher(images), 1.0)
        assert distillation_loss(images, None, logits, loss).item() == pytest.approx(expected.item(), rel=1e-6)
        assert not list(distillation_loss.parameters())


def test_a_generation_of_digits(make_trainer, tmp_path):
    trainer = make_trainer(epochs=5)
    torch.manual_seed(0)
    first = trainer.fit(mlp(1, 8, 10, hidden=[30]), epochs=5)
    before = copy.deepcopy(first.state_dict())
    second = born_again(first, trainer, generations=1, **DEFAULTS)
    assert second is not first
    assert not torch.equal(second[1].weight, first[1].weight)
    assert all(torch.equal(tensor, before[name]) for name, tensor in first.state_dict().items())
    assert all(parameter.requires_grad for parameter in second.parameters())
    assert trainer.accuracy(second) > 0.9
    rows = read_rows(tmp_path / "epochs.jsonl")
    assert [row["fit"] for row in rows] == [0] * 5 + [1] * 5
    images, labels = trainer.calibration_batches(200, 200)[0]
    assert F.cross_entropy(second(images), labels) < 0.4
