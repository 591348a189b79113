"""Hinton's loss: the divergence by hand, its limit at high temperature, and a student that needs no labels."""

import math

import pytest
import torch
from torch.nn import functional as F

from effdl.compression.distill.logits import divergence, logits
from effdl.models.mlp import mlp
from effdl.utils.rows import Rows


def pair(rows=6, classes=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(rows, classes, generator=generator) * 3 for _ in range(2))


def test_the_divergence_by_hand():
    student, teacher = torch.tensor([[0.0, math.log(3)]]), torch.tensor([[math.log(4), 0.0]])
    by_hand = 0.8 * math.log(0.8 / 0.25) + 0.2 * math.log(0.2 / 0.75)
    assert divergence(student, teacher, 1.0).item() == pytest.approx(by_hand, rel=1e-6)
    student, teacher = student * 2, teacher * 2  # at T = 2 the same probabilities, times T²
    assert divergence(student, teacher, 2.0).item() == pytest.approx(4 * by_hand, rel=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_the_divergence_is_pytorch_s(temperature):
    student, teacher = pair()
    expected = F.kl_div((student / temperature).log_softmax(1), (teacher / temperature).softmax(1), reduction="none")
    expected = temperature**2 * expected.sum(1).mean()
    assert divergence(student, teacher, temperature).item() == pytest.approx(expected.item(), rel=1e-5)


def test_its_gradient_is_that_of_the_soft_cross_entropy():
    student, teacher = pair()
    student.requires_grad_()
    divergence(student, teacher, 4.0).backward()
    expected = 4.0 * ((student / 4).softmax(1) - (teacher / 4).softmax(1)) / len(student)
    torch.testing.assert_close(student.grad, expected.detach())


def test_at_high_temperature_it_matches_logits():
    """Equation 4: for logits of zero mean the gradient is (student - teacher) / classes, for each image."""
    student, teacher = (values - values.mean(1, keepdim=True) for values in pair())
    student.requires_grad_()
    divergence(student, teacher, 1000.0).backward()
    expected = (student - teacher) / student.shape[1] / len(student)
    torch.testing.assert_close(student.grad, expected.detach(), rtol=0.02, atol=1e-4)


def test_equal_logits_are_no_loss_even_in_half_precision():
    values, _ = pair()
    shifted = values + 5  # the same probabilities
    assert divergence(values, shifted, 3.0).item() == pytest.approx(0, abs=1e-5)
    half = values.bfloat16()
    loss = divergence(half, half, 3.0)
    assert loss.dtype == torch.float32
    assert loss.item() == 0


def test_the_weight_goes_from_labels_to_teacher(teacher, make_trainer):
    trainer = make_trainer(teacher=teacher)
    images, labels = trainer.calibration_batches(16)[0]
    own = torch.randn(16, 10)
    loss = F.cross_entropy(own, labels)
    soft = divergence(own, teacher(images), 4.0)
    found = [
        logits(torch.nn.Identity(), trainer, level="run", temperature=4.0, weight=weight)(images, labels, own, loss)
        for weight in (0.0, 0.25, 1.0)
    ]
    for value, expected in zip(found, (loss, 0.75 * loss + 0.25 * soft, soft), strict=True):
        assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_teacher_is_no_part_of_the_guide(teacher, make_trainer):
    distillation_loss = logits(
        torch.nn.Identity(), make_trainer(teacher=teacher), level="run", temperature=4.0, weight=0.9
    )
    distillation_loss.train()
    assert not distillation_loss.state_dict()
    assert not list(distillation_loss.parameters())
    assert not teacher.training


def test_a_student_learns_digits_from_a_teacher_alone(teacher, make_trainer, tmp_path):
    trainer = make_trainer(teacher=teacher, epochs=8)
    torch.manual_seed(0)
    student = trainer.fit(
        mlp(1, 8, 10, hidden=[30]),
        epochs=8,
        distillation_loss=lambda student: logits(student, trainer, level="run", temperature=4.0, weight=1.0),
    )
    losses = [row["loss"] for row in Rows(tmp_path / "epochs.jsonl").read()]
    assert losses[-1] < 0.2 * losses[0]
    assert trainer.accuracy(teacher) > 0.95
    assert trainer.accuracy(student) > 0.93
    assert not any(module._forward_hooks for module in student.modules())
