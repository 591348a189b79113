"""Relational distillation: the distances and angles between the images of a batch.

Park, Kim, Lu & Cho 2019, "Relational Knowledge Distillation", section 3.2.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from effdl.compression.distill.features import Features, Teacher
from effdl.compression.method import compression_method
from effdl.config.types import NonNegative
from effdl.models.surgery import last_layer
from effdl.training.trainer import Trainer
from effdl.utils.data_parallel import gather


@compression_method("distillation_loss")
def relational(
    student: nn.Module,
    trainer: Trainer,
    *,
    level: str | None,
    distance: NonNegative,
    angle: NonNegative,
) -> nn.Module:
    """Add to the loss how far the embeddings of a batch are from the teacher's in their distances and angles.

    An embedding is what enters the last layer; those of student and teacher may differ in length.

    Args:
        level: the teacher (see `Trainer.teacher`).
        distance: weight of the distances of all pairs.
        angle: weight of the angles of all triplets, of which a batch of n has n³: keep it below some 256 images.
    """
    teacher = trainer.teacher(level)
    return Relational(
        Features(student, [last_layer(student)[0]], inputs=True),
        Teacher(teacher, [last_layer(teacher)[0]], inputs=True),
        distance,
        angle,
    )


class Relational(nn.Module):
    """The loss of a batch with relational distillation."""

    def __init__(self, student: Features, teacher: Teacher, distance: float, angle: float):
        super().__init__()
        self.student, self.teacher, self.distance, self.angle = student, teacher, distance, angle

    def forward(self, images: Tensor, targets: Tensor, logits: Tensor, loss: Tensor) -> Tensor:
        self.teacher(images)
        [own], [wanted] = self.student.take(), self.teacher.features.take()
        own, wanted = gather(own.flatten(1).float()), gather(wanted.flatten(1).float())  # pairs across processes, too
        relations = self.distance * F.smooth_l1_loss(distances(own), distances(wanted))  # equations 5 and 7
        return loss + relations + self.angle * F.smooth_l1_loss(angles(own), angles(wanted))  # equation 10

    def close(self) -> None:
        """Remove the hooks."""
        self.student.close()
        self.teacher.features.close()


def distances(embeddings: Tensor) -> Tensor:
    """Distances (n, n) between embeddings (n, d), over the mean distance of two different ones (equation 6)."""
    found = differences(embeddings).norm(dim=2)
    pairs = len(found) * (len(found) - 1)
    return found * pairs / found.sum().clamp(min=1e-12)


def angles(embeddings: Tensor) -> Tensor:
    """Cosines (n, n, n) of the angles at image j between images i and k, as [j, i, k] (equation 9)."""
    directions = F.normalize(differences(embeddings), dim=2)
    return directions @ directions.transpose(1, 2)


def differences(embeddings: Tensor) -> Tensor:
    """``[j, i] = embedding i - embedding j``: (n, d) to (n, n, d)."""
    return embeddings[None] - embeddings[:, None]
