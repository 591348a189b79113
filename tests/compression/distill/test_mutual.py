"""Mutual learning: two losses, two networks, each moved by its own."""

import copy

import pytest
import torch
from torch.nn import functional as F

from effdl.compression.distill.logits import divergence
from effdl.compression.distill.mutual import mutual, mutual_divergence
from effdl.models.mlp import mlp

PAPER = {"level": "peer", "temperature": 1.0, "weight": 1.0}


def test_each_network_is_moved_by_its_own_divergence_only():
    """Equations 5 and 6: the gradients are those of two separate losses."""
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(5, 4, generator=generator, requires_grad=True) for _ in range(2))
    loss = mutual_divergence(first, second, 1.0)
    loss.backward()
    p, q = first.detach().softmax(1), second.detach().softmax(1)
    assert loss.item() == pytest.approx(
        ((p * (p / q).log()).sum(1) + (q * (q / p).log()).sum(1)).mean().item(), rel=1e-5
    )
    torch.testing.assert_close(first.grad, (p - q) / 5)
    torch.testing.assert_close(second.grad, (q - p) / 5)


def test_the_loss_of_a_batch_has_both_networks_in_it(make_trainer):
    torch.manual_seed(0)
    student, trainer = mlp(1, 8, 10, hidden=[30]), make_trainer()
    distillation_loss = mutual(student, trainer, **PAPER | {"weight": 0.5})
    assert distillation_loss.peer.training
    images, labels = trainer.calibration_batches(8)[0]
    logits, answers = student(images), distillation_loss.peer(images)
    loss = distillation_loss(images, labels, logits, F.cross_entropy(logits, labels))
    expected = F.cross_entropy(logits, labels) + F.cross_entropy(answers, labels)
    expected += 0.5 * (divergence(logits, answers, 1.0) + divergence(answers, logits, 1.0))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    mixed = F.one_hot(labels, 10) * 0.7 + 0.03  # class probabilities, as mixup makes them
    assert torch.isfinite(distillation_loss(images, mixed, logits, F.cross_entropy(logits, mixed)))


def test_both_networks_learn(make_trainer, digits):
    trainer, made = make_trainer(epochs=6), []

    def factory(student):
        made.append(mutual(student, trainer, **PAPER))
        return made[0]

    torch.manual_seed(0)
    student = trainer.fit(mlp(1, 8, 10, hidden=[30]), epochs=6, distillation_loss=factory)
    peer = made[0].peer.eval()
    assert trainer.accuracy(student) > 0.9
    assert trainer.accuracy(peer) > 0.9
    assert not torch.equal(student[1].weight, peer[1].weight)  # two networks all the same
    images, _ = trainer.calibration_batches(200, 200)[0]
    apart = divergence(student(images), peer(images), 1.0).item()
    alone = trainer.fit(mlp(1, 8, 10, hidden=[30]), epochs=6)
    assert apart < divergence(student(images), alone(images), 1.0).item()


def test_the_peer_is_in_the_checkpoint_and_begins_untrained(make_trainer):
    trainer = make_trainer()
    distillation_loss = mutual(mlp(1, 8, 10, hidden=[30]), trainer, **PAPER)
    assert set(distillation_loss.state_dict()) == {f"peer.{name}" for name in trainer.fresh_model().state_dict()}


def test_after_the_first_training_the_peer_begins_as_the_dense_model(make_trainer):
    trainer = make_trainer()
    trainer.dense = mlp(1, 8, 10, hidden=[30]).eval().requires_grad_(False)
    before = copy.deepcopy(trainer.dense.state_dict())
    distillation_loss = mutual(mlp(1, 8, 10, hidden=[30]), trainer, **PAPER)
    assert all(
        torch.equal(tensor, before[name.removeprefix("peer.")])
        for name, tensor in distillation_loss.state_dict().items()
    )
    trainer.fit(mlp(1, 8, 10, hidden=[30]), epochs=1, distillation_loss=lambda student: distillation_loss)
    assert not torch.equal(distillation_loss.peer[1].weight, before["1.weight"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.dense.state_dict().items())
    assert not trainer.dense.training
