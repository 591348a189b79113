"""Distillation of logits: soft targets.

Hinton, Vinyals & Dean 2015, "Distilling the Knowledge in a Neural Network", section 2.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from effdl.compression.distill.features import Teacher
from effdl.compression.method import compression_method
from effdl.config.types import Positive, UnitInterval
from effdl.training.trainer import Trainer


@compression_method("distillation_loss")
def logits(
    student: nn.Module,
    trainer: Trainer,
    *,
    level: str | None,
    temperature: Positive,
    weight: UnitInterval,
) -> nn.Module:
    """Learn the teacher's softened class probabilities: ``(1 - weight) loss + weight T² KL(teacher || student)``.

    Args:
        level: the teacher (see `Trainer.teacher`).
        temperature: T, which divides the logits of teacher and student.
        weight: weight of the teacher's probabilities, from 0 (labels only) to 1 (teacher only).
    """
    return SoftTargets(trainer.teacher(level), temperature, weight)


class SoftTargets(nn.Module):
    """The distillation loss with the soft targets of a teacher."""

    def __init__(self, teacher: nn.Module, temperature: float, weight: float):
        super().__init__()
        self.teacher, self.temperature, self.weight = Teacher(teacher), temperature, weight

    def forward(self, images: Tensor, targets: Tensor, logits: Tensor, loss: Tensor) -> Tensor:
        soft = divergence(logits, self.teacher(images), self.temperature)
        return (1 - self.weight) * loss + self.weight * soft

    def close(self) -> None:
        """There are no hooks to remove."""


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """``T² KL(p || q)``, with p and q the softmax of the teacher's and the student's logits (n, classes) over T.

    It is the mean over the batch, in nats. The factor T² keeps the gradients as large as they are at T = 1 (end of
    section 2); for high temperatures and logits of zero mean they tend to ``(student - teacher) / classes`` (equation
    4).
    """
    log_q = F.log_softmax(student.float() / temperature, dim=1)
    log_p = F.log_softmax(teacher.float() / temperature, dim=1)
    return temperature**2 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
