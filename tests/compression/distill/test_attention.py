"""Attention transfer against an example by hand and the authors' formula."""

import pytest
import torch
from torch.nn import functional as F

from effdl.compression.distill.attention import attention, attention_loss
from effdl.models.mlp import mlp
from effdl.models.resnet import resnet
from effdl.utils.errors import UserError
from effdl.utils.rows import Rows

DEFAULTS = {"level": "run", "beta": 10.0, "student_layers": None, "teacher_layers": None}


def test_the_distance_by_hand():
    """Two channels of two pixels: squares sum to (3, 4), of length 5; the teacher's attention is all on one pixel."""
    student = torch.tensor([[[[1.0, 2.0]], [[2**0.5, 0.0]]]])
    teacher = torch.tensor([[[[0.0, 7.0]]]])
    assert attention_loss(student, teacher).item() == pytest.approx(0.6**2 + 0.2**2)


def test_it_is_the_authors_formula():
    """github.com/szagoruyko/attention-transfer, utils.py: at and at_loss, which is a mean over 25 pixels."""

    def at(x):
        return F.normalize(x.pow(2).mean(1).view(x.size(0), -1))

    student, teacher = torch.randn(4, 8, 5, 5), torch.randn(4, 16, 5, 5)
    expected = 25 * (at(student) - at(teacher)).pow(2).mean()
    assert attention_loss(student, teacher).item() == pytest.approx(expected.item(), rel=1e-6)


def test_neither_scale_nor_order_of_channels_matter():
    feature = torch.randn(4, 8, 5, 5)
    assert attention_loss(feature, 3 * feature.flip(1)).item() == pytest.approx(0, abs=1e-10)
    assert attention_loss(feature, feature.flip(2)).item() > 1e-2


def test_a_larger_map_is_averaged_down_after_squaring():
    large = torch.tensor([[[[1.0, -1.0, 2.0, 0.0], [1.0, -1.0, 0.0, 0.0]]]])  # halves: 4 and 4
    assert attention_loss(large, torch.ones(1, 3, 1, 2)).item() == pytest.approx(0, abs=1e-12)


def test_a_dead_layer_gives_no_nan():
    feature = torch.zeros(2, 3, 4, 4, requires_grad=True)
    attention_loss(feature, torch.randn(2, 3, 4, 4)).backward()
    assert torch.isfinite(feature.grad).all()


def test_by_default_the_ends_of_all_stages_are_compared(teacher, make_trainer):
    student, trainer = resnet(1, 8, 10, depth=20), make_trainer(teacher=teacher)
    distillation_loss = attention(student, trainer, **DEFAULTS)
    assert distillation_loss.student.layers == ["5", "8", "11"]
    assert distillation_loss.teacher.features.layers == ["3", "4", "5"]
    assert not distillation_loss.state_dict()
    images, labels = trainer.calibration_batches(8)[0]
    logits = student(images)
    loss = distillation_loss(images, labels, logits, torch.tensor(0.5))
    parts = [attention_loss(student[:s](images), teacher[:t](images)) for s, t in ((6, 4), (9, 5), (12, 6))]
    assert loss.item() == pytest.approx(0.5 + 5 * sum(parts).item(), rel=1e-4)
    distillation_loss.close()


@pytest.mark.parametrize("layers", [None, ["1"]])
def test_a_network_without_maps_is_refused(layers, teacher, make_trainer):
    with pytest.raises(UserError, match=r"compression.attention: . of the student .* maps of more than one pixel"):
        attention(mlp(1, 8, 10, hidden=[30]), make_trainer(teacher=teacher), **DEFAULTS | {"student_layers": layers})


def test_a_student_comes_to_look_where_its_teacher_does(teacher, make_trainer, tmp_path):
    trainer = make_trainer(teacher=teacher)
    torch.manual_seed(0)
    student = trainer.fit(
        resnet(1, 8, 10, depth=8, width=0.5),
        epochs=4,
        distillation_loss=lambda student: attention(student, trainer, **DEFAULTS),
    )
    losses = [row["loss"] for row in Rows(tmp_path / "epochs.jsonl").read()]
    assert losses[-1] < 0.4 * losses[0]
    assert trainer.accuracy(student) > 0.9
    assert not any(module._forward_hooks for module in student.modules())
