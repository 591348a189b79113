"""Relational distillation: a loss between the distances and angles of the embeddings of a batch.

Park, Kim, Lu & Cho 2019, "Relational Knowledge Distillation", section 3.2.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from effdl.compression.distill.features import FeatureLoss, Features, Teacher
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
    """Add to the loss the differences between student and teacher in the distances and angles of embeddings.

    An embedding is the input of the last layer; those of student and teacher may have different lengths.

    Args:
        level: the teacher (see `Trainer.teacher`).
        distance: factor on the loss of the distances between all pairs of a batch.
        angle: factor on the loss of the angles of all triplets. A batch of n images has n³ of them, so the batch size
            should be at most about 256.
    """
    teacher = trainer.teacher(level)
    return _Relational(
        Features(student, [last_layer(student)[0]], inputs=True),
        Teacher(teacher, [last_layer(teacher)[0]], inputs=True),
        distance,
        angle,
    )


class _Relational(FeatureLoss):
    """The distillation loss of relational distillation."""

    def __init__(self, student: Features, teacher: Teacher, distance: float, angle: float):
        super().__init__(student, teacher)
        self.distance, self.angle = distance, angle

    def forward(self, images: Tensor, targets: Tensor, logits: Tensor, loss: Tensor) -> Tensor:
        [(own, wanted)] = self.pairs(images)
        own, wanted = (
            gather(own.flatten(1).float()),
            gather(wanted.flatten(1).float()),
        )  # pairs of images of different processes, too
        relations = self.distance * F.smooth_l1_loss(distances(own), distances(wanted))  # equations 5 and 7
        return loss + relations + self.angle * F.smooth_l1_loss(angles(own), angles(wanted))  # equation 10


def distances(embeddings: Tensor) -> Tensor:
    """Distances (n, n) between embeddings (n, d), divided by the mean distance of two different ones (equation 6)."""
    found = _differences(embeddings).norm(dim=2)
    pairs = len(found) * (len(found) - 1)
    return found * pairs / found.sum().clamp(min=1e-12)


def angles(embeddings: Tensor) -> Tensor:
    """Cosines (n, n, n) of the angles between images i and k, seen from image j, as [j, i, k] (equation 9)."""
    directions = F.normalize(_differences(embeddings), dim=2)
    return directions @ directions.transpose(1, 2)


def _differences(embeddings: Tensor) -> Tensor:
    """Differences (n, n, d) of embeddings (n, d): ``[j, i]`` is embedding i - embedding j."""
    return embeddings[None] - embeddings[:, None]
