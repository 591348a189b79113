"""Born-again networks: new models in turn, each taught by the one before."""

import copy

import pytest
import torch
from torch.nn import functional as F

from effdl.compression.distill.born_again import born_again
from effdl.compression.distill.logits import divergence
from effdl.models.mlp import mlp
from effdl.utils.rows import Rows

DEFAULTS = {"level": "born_again", "temperature": 1.0, "weight": 0.5}


@pytest.mark.parametrize("generations", [1, 3])
def test_every_generation_learns_from_the_one_before(generations, make_trainer):
    trainer, trained = make_trainer(epochs=1, batches=5), []
    train = trainer.train

    def noted(model, recipe, stage, number):
        trained.append((model, copy.deepcopy(model), recipe))
        return train(model, recipe, stage, number)

    trainer.train = noted
    first = mlp(1, 8, 10, hidden=[30]).eval()
    last = born_again(first, trainer, generations=generations, **DEFAULTS)
    assert trainer.asked == [(1, 1.0, 0)] * generations  # the run's own number of epochs
    models = [model for model, _, _ in trained]
    assert len({id(model) for model in (first, *models)}) == generations + 1
    assert last is models[-1]
    images, loss = torch.randn(5, 1, 8, 8), torch.tensor(2.0)
    for teacher, (_, fresh, recipe) in zip([first, *models], trained, strict=False):
        [make] = recipe.distillation_losses
        logits, distillation_loss = fresh(images), make(fresh)
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
    rows = Rows(tmp_path / "epochs.jsonl").read()
    assert [row["fit"] for row in rows] == [0] * 5 + [1] * 5
    images, labels = trainer.calibration_batches(200, 200)[0]
    assert F.cross_entropy(second(images), labels) < 0.4
