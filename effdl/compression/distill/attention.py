"""Attention transfer: where in the image the layers are active.

Zagoruyko & Komodakis 2017, "Paying More Attention to Attention", section 3.1.
"""

from math import prod

from torch import Tensor, nn
from torch.nn import functional as F

from effdl.compression.distill.features import Features, Teacher, as_map, at_same_size
from effdl.compression.distill.layer_pairs import output_maps, pair_layers, stage_ends
from effdl.compression.method import compression_method
from effdl.config.types import NonNegative
from effdl.training.trainer import Trainer
from effdl.utils.errors import UserError


@compression_method("distillation_loss")
def attention(
    student: nn.Module,
    trainer: Trainer,
    *,
    level: str | None,
    beta: NonNegative,
    student_layers: list[str] | None,
    teacher_layers: list[str] | None,
) -> nn.Module:
    """Add to the loss ``beta / 2`` times the distances between the attention maps of student and teacher (equation 2).

    Args:
        level: the teacher (see `Trainer.teacher`).
        student_layers: names or patterns of the layers that learn; None: the end of every stage, as in the paper.
        teacher_layers: of those they learn from, as many; None: those nearest in size.

    Raises:
        UserError: a pattern that matches no layer, two lists of different lengths, or a network without maps.
    """
    teacher = trainer.teacher(level)
    maps = output_maps(student, trainer.input_shape, trainer.device.torch_device)
    teacher_maps = output_maps(teacher, trainer.input_shape, trainer.device.torch_device)
    wanted = stage_ends(maps) if student_layers is None else student_layers
    pairs = pair_layers(maps, teacher_maps, wanted, teacher_layers, "compression.attention")
    for left, right in pairs:
        if 1 in (prod(maps[left][1:]), prod(teacher_maps[right][1:])):
            raise UserError(
                f"compression.attention: {left} of the student and {right} of the teacher give"
                f" {tuple(maps[left])} and {tuple(teacher_maps[right])}: attention needs maps of more than one pixel"
                " (compression=[hints] and [relational] do without)"
            )
    return AttentionTransfer(
        Features(student, [left for left, _ in pairs]), Teacher(teacher, [right for _, right in pairs]), beta
    )


class AttentionTransfer(nn.Module):
    """The loss of a batch with attention transfer."""

    def __init__(self, student: Features, teacher: Teacher, beta: float):
        super().__init__()
        self.student, self.teacher, self.beta = student, teacher, beta

    def forward(self, images: Tensor, targets: Tensor, logits: Tensor, loss: Tensor) -> Tensor:
        self.teacher(images)
        pairs = zip(self.student.take(), self.teacher.features.take(), strict=True)
        return loss + self.beta / 2 * sum(attention_loss(as_map(s), as_map(t)) for s, t in pairs)

    def close(self) -> None:
        """Remove the hooks."""
        self.student.close()
        self.teacher.features.close()


def attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of two features' attention maps, from 0 to 2, as a mean over the images (equation 2).

    An attention map is the sum of squares over the channels, as a vector of length 1. Features are (n, C, H, W);
    maps of different sizes are averaged down to the smaller. The authors' code takes the mean over the pixels
    instead (with a beta of 1000), by which small maps weigh more, and small images much more.
    """
    maps = (x.float().square().mean(dim=1, keepdim=True) for x in (student, teacher))
    student, teacher = (F.normalize(x.flatten(1)) for x in at_same_size(*maps))
    return (student - teacher).square().sum(dim=1).mean()
