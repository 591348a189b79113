"""Relational distillation against triangles by hand and the authors' formulas."""

import pytest
import torch
from torch.nn import functional as F

from effdl.compression.distill.relational import angles, distances, relational
from effdl.models.mlp import mlp
from effdl.utils.rows import Rows

TRIANGLE = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])  # sides 3, 4 and 5


def test_distances_over_their_mean():
    expected = torch.tensor([[0, 3, 4], [3, 0, 5], [4, 5, 0]]) / 4.0
    torch.testing.assert_close(distances(TRIANGLE), expected)


def test_angles_at_each_corner():
    found = angles(TRIANGLE)
    assert found.shape == (3, 3, 3)
    assert found[0, 1, 2].item() == pytest.approx(0.0)  # the right angle
    assert found[1, 0, 2].item() == pytest.approx(3 / 5)
    assert found[2, 0, 1].item() == pytest.approx(4 / 5)
    assert found[1, 2, 0] == found[1, 0, 2]
    assert found[1, 0, 0].item() == pytest.approx(1.0)
    assert found[1, 1, 2] == 0  # no angle: the image itself


def test_they_are_the_authors_formulas():
    """github.com/lenscloth/RKD, metric/loss.py: RkdDistance and RKdAngle."""
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    d = (x[None] - x[:, None]).pow(2).sum(2).sqrt()
    torch.testing.assert_close(distances(x), d / d[d > 0].mean())
    normed = F.normalize(x.unsqueeze(0) - x.unsqueeze(1), p=2, dim=2)
    torch.testing.assert_close(angles(x), torch.bmm(normed, normed.transpose(1, 2)))


def test_they_see_neither_scale_nor_place_nor_direction():
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    rotation, _ = torch.linalg.qr(torch.randn(7, 5, generator=torch.Generator().manual_seed(1)))
    moved = 3 * x @ rotation.T + 2  # in 7 dimensions
    torch.testing.assert_close(distances(moved), distances(x))
    torch.testing.assert_close(angles(moved), angles(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("embeddings", [torch.zeros(4, 3), torch.tensor([[1.0, 2.0]]), torch.ones(3, 2)])
def test_equal_embeddings_give_no_nan(embeddings):
    embeddings = embeddings.clone().requires_grad_()
    (distances(embeddings).sum() + angles(embeddings).sum()).backward()
    assert torch.isfinite(embeddings.grad).all()


def test_the_loss_of_a_batch_is_that_of_the_embeddings(teacher, make_trainer):
    student, trainer = mlp(1, 8, 10, hidden=[30]), make_trainer(teacher=teacher)
    distillation_loss = relational(student, trainer, level="run", distance=2.5, angle=5.0)
    images, labels = trainer.calibration_batches(8)[0]
    loss = distillation_loss(images, labels, student(images), torch.tensor(0.5))
    own, wanted = student[:-1](images), teacher[:-1](images)
    by_distance = F.smooth_l1_loss(distances(own), distances(wanted))
    by_angle = F.smooth_l1_loss(angles(own), angles(wanted))
    assert own.shape != wanted.shape
    assert loss.item() == pytest.approx((0.5 + 2.5 * by_distance + 5 * by_angle).item(), rel=1e-5)
    assert not distillation_loss.state_dict()
    distillation_loss.close()


def test_a_student_takes_over_the_relations(teacher, make_trainer, tmp_path):
    trainer = make_trainer(teacher=teacher)
    torch.manual_seed(0)
    student = trainer.fit(
        mlp(1, 8, 10, hidden=[30]),
        epochs=6,
        distillation_loss=lambda student: relational(student, trainer, level="run", distance=2.5, angle=5.0),
    )
    losses = [row["loss"] for row in Rows(tmp_path / "epochs.jsonl").read()]
    assert losses[-1] < 0.6 * losses[0]
    assert trainer.accuracy(student) > 0.9
    assert not any(module._forward_hooks for module in student.modules())
