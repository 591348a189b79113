"""Hints: intermediate features of a teacher, reached through a learned adapter.

Romero, Ballas, Kahou, Chassang, Gatta & Bengio 2015, "FitNets: Hints for Thin Deep Nets", section 2.2. There the hint
is learned before the labels; here with them, as in later comparisons (Tian, Krishnan & Isola 2020).
"""

from torch import Tensor, nn

from effdl.compression.distill.features import Features, Teacher, as_map, at_same_size
from effdl.compression.distill.layer_pairs import output_maps, pair_layers, stage_ends
from effdl.compression.method import compression_method
from effdl.config.types import NonNegative
from effdl.training.trainer import Trainer


@compression_method("distillation_loss")
def hints(
    student: nn.Module,
    trainer: Trainer,
    *,
    level: str | None,
    weight: NonNegative,
    student_layers: list[str] | None,
    teacher_layers: list[str] | None,
) -> nn.Module:
    """Add to the loss `weight` times the distance between features of the student, adapted, and of the teacher.

    Args:
        level: the teacher (see `Trainer.teacher`).
        student_layers: names or patterns of the layers that learn; None: the end of the middle stage.
        teacher_layers: of those they learn from, as many; None: those nearest in size.

    Raises:
        UserError: a pattern that matches no layer, or two lists of different lengths.
    """
    teacher = trainer.teacher(level)
    maps = output_maps(student, trainer.input_shape, trainer.device.torch_device)
    teacher_maps = output_maps(teacher, trainer.input_shape, trainer.device.torch_device)
    ends = stage_ends(maps)
    wanted = [ends[len(ends) // 2]] if student_layers is None else student_layers
    pairs = pair_layers(maps, teacher_maps, wanted, teacher_layers, "compression.hints")
    adapters = [nn.Conv2d(maps[left][0], teacher_maps[right][0], 1) for left, right in pairs]
    return Hints(
        Features(student, [left for left, _ in pairs]),
        Teacher(teacher, [right for _, right in pairs]),
        nn.ModuleList(adapters).to(trainer.device.torch_device),
        weight,
    )


class Hints(nn.Module):
    """The loss of a batch with hints; `adapters`: 1x1 convolutions, which on vectors are linear layers."""

    def __init__(self, student: Features, teacher: Teacher, adapters: nn.ModuleList, weight: float):
        super().__init__()
        self.student, self.teacher, self.adapters, self.weight = student, teacher, adapters, weight

    def forward(self, images: Tensor, targets: Tensor, logits: Tensor, loss: Tensor) -> Tensor:
        self.teacher(images)
        features = zip(self.adapters, self.student.take(), self.teacher.features.take(), strict=True)
        return loss + self.weight * sum(hint_loss(adapter(as_map(s)), as_map(t)) for adapter, s, t in features)

    def close(self) -> None:
        """Remove the hooks."""
        self.student.close()
        self.teacher.features.close()


def hint_loss(adapted: Tensor, hint: Tensor) -> Tensor:
    """``|| hint - adapted ||² / 2`` of two features (n, C, H, W), as a mean over all elements (equation 3).

    Maps of different sizes are averaged down to the smaller.
    """
    adapted, hint = at_same_size(adapted.float(), hint.float())
    return (hint - adapted).square().mean() / 2
