"""Hints against numbers worked out by hand, with adapters that learn."""

import copy

import pytest
import torch
from torch.nn import functional as F

from effdl.compression.distill.hints import hint_loss, hints
from effdl.models.mlp import mlp
from effdl.models.resnet import resnet
from effdl.utils.errors import UserError
from effdl.utils.rows import Rows

DEFAULTS = {"level": "run", "weight": 10.0, "student_layers": None, "teacher_layers": None}


def test_the_distance_by_hand():
    adapted, hint = torch.tensor([[[[1.0]], [[2.0]]]]), torch.tensor([[[[3.0]], [[5.0]]]])
    assert hint_loss(adapted, hint).item() == (4 + 9) / 2 / 2


def test_the_larger_map_is_averaged_down():
    large = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]])
    assert hint_loss(large, torch.tensor([[[[1.0]]]])).item() == (4 - 1) ** 2 / 2
    assert hint_loss(torch.tensor([[[[1.0]]]]), large).item() == (4 - 1) ** 2 / 2


def test_by_default_the_middle_stages_are_compared(teacher, make_trainer):
    student, trainer = resnet(1, 8, 10, depth=8, width=0.5), make_trainer(teacher=teacher)
    distillation_loss = hints(student, trainer, **DEFAULTS)
    assert distillation_loss.student.layers == ["4"]
    assert distillation_loss.teacher.features.layers == ["4"]
    [adapter] = distillation_loss.adapters
    assert tuple(adapter.weight.shape) == (32, 16, 1, 1)
    assert set(distillation_loss.state_dict()) == {"adapters.0.weight", "adapters.0.bias"}
    distillation_loss.close()


def test_the_loss_of_a_batch_is_the_sum_of_its_parts(teacher, make_trainer):
    student, trainer = resnet(1, 8, 10, depth=8, width=0.5), make_trainer(teacher=teacher)
    distillation_loss = hints(student, trainer, **DEFAULTS | {"weight": 3.0, "student_layers": ["3", "5"]})
    images, labels = trainer.calibration_batches(8)[0]
    logits = student(images)
    loss = distillation_loss(images, labels, logits, F.cross_entropy(logits, labels))
    features = [student[:4](images), student[:6](images)]
    wanted = [teacher[:4](images), teacher[:6](images)]
    distances = [
        (adapter(f) - w).square().mean() / 2
        for adapter, f, w in zip(distillation_loss.adapters, features, wanted, strict=True)
    ]
    expected = F.cross_entropy(logits, labels) + 3 * (distances[0] + distances[1])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    distillation_loss.close()


def test_vectors_are_adapted_by_a_linear_layer(make_trainer):
    torch.manual_seed(0)
    wide = mlp(1, 8, 10, hidden=[40]).eval().requires_grad_(False)
    student, trainer = mlp(1, 8, 10, hidden=[30]), make_trainer(teacher=wide)
    distillation_loss = hints(student, trainer, **DEFAULTS)
    images = torch.randn(4, 1, 8, 8)
    loss = distillation_loss(images, None, student(images), torch.tensor(0.0))
    weight, bias = distillation_loss.adapters[0].weight[:, :, 0, 0], distillation_loss.adapters[0].bias
    adapted = F.linear(student[:4](images), weight, bias)
    assert loss.item() == pytest.approx(5 * (adapted - wide[:4](images)).square().mean().item(), rel=1e-5)
    distillation_loss.close()


def test_an_unknown_layer_is_named_with_those_there_are(teacher, make_trainer):
    with pytest.raises(UserError, match=r"compression.hints.student_layers: no layer of the student matches 'conv9'"):
        hints(mlp(1, 8, 10, hidden=[30]), make_trainer(teacher=teacher), **DEFAULTS | {"student_layers": ["conv9"]})


def test_a_student_comes_nearer_to_its_hints_and_learns(teacher, make_trainer, tmp_path):
    trainer, made = make_trainer(teacher=teacher), []

    def factory(student):
        made.append(hints(student, trainer, **DEFAULTS))
        made.append(made[0].adapters[0].weight.detach().clone())
        return made[0]

    torch.manual_seed(0)
    student = trainer.fit(resnet(1, 8, 10, depth=8, width=0.5), epochs=4, distillation_loss=factory)
    losses = [row["loss"] for row in Rows(tmp_path / "epochs.jsonl").read()]
    assert losses[-1] < 0.7 * losses[0]
    assert not torch.equal(made[0].adapters[0].weight, made[1])
    assert trainer.accuracy(student) > 0.9
    assert not any(module._forward_hooks for module in student.modules())
    assert set(student.state_dict()) == set(resnet(1, 8, 10, depth=8, width=0.5).state_dict())


class KilledAfterOne:
    def epoch_end(self, row):
        raise KeyboardInterrupt


def test_a_training_that_was_killed_goes_on_with_its_adapters(teacher, make_trainer, tmp_path):
    def train(folder, callback=None):
        trainer, made = make_trainer(folder=tmp_path / folder, teacher=copy.deepcopy(teacher), callback=callback), []

        def factory(student):
            made.append(hints(student, trainer, **DEFAULTS))
            return made[0]

        torch.manual_seed(0)
        student = trainer.fit(mlp(1, 8, 10, hidden=[30]), epochs=2, distillation_loss=factory)
        return {**student.state_dict(), **made[0].state_dict()}

    for folder in ("whole", "killed"):
        (tmp_path / folder).mkdir()
    whole = train("whole")
    with pytest.raises(KeyboardInterrupt):
        train("killed", KilledAfterOne())
    resumed = train("killed")
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())
