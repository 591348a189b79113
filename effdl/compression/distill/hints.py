"""Hints: a loss between features of the student, mapped by a learned adapter, and features of the teacher.

Romero, Ballas, Kahou, Chassang, Gatta & Bengio 2015, "FitNets: Hints for Thin Deep Nets", section 2.2. There the hints
are learned before the labels; here at the same time, as in later comparisons (Tian, Krishnan & Isola 2020).
"""

import logging

from torch import Tensor, nn

from effdl.compression.distill.features import FeatureLoss, Features, Teacher, at_same_size
from effdl.compression.distill.layer_pairs import Pair, features_of, output_maps, pair_layers, stage_ends
from effdl.compression.method import compression_method
from effdl.config.types import NonNegative
from effdl.training.trainer import Trainer

log = logging.getLogger(__name__)


def _pairs_of(
    student: nn.Module,
    teacher: nn.Module,
    input_shape: tuple[int, int, int],
    student_layers: list[str] | None,
    teacher_layers: list[str] | None,
) -> list[Pair]:
    """The layers of student and teacher that are compared; also the check before any training.

    Raises:
        UserError: see `hints`.
    """
    maps, teacher_maps = output_maps(student, input_shape), output_maps(teacher, input_shape)
    ends = stage_ends(maps)
    wanted = ends[len(ends) // 2 :][:1] if student_layers is None else student_layers
    return pair_layers(maps, teacher_maps, wanted, teacher_layers, "compression.hints")


@compression_method("distillation_loss", _pairs_of)
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
        weight: factor on the loss.
        student_layers: names or patterns of layers of the student; None: the end of the middle stage.
        teacher_layers: names or patterns of as many layers of the teacher; None: those with maps nearest in size.

    Raises:
        UserError: a pattern matches no layer, or the lists have different lengths.
    """
    teacher = trainer.teacher(level)
    pairs = _pairs_of(student, teacher, trainer.input_shape, student_layers, teacher_layers)
    log.info("hints: %s", ", ".join(map(str, pairs)))
    adapters = [nn.Conv2d(pair.student_shape[0], pair.teacher_shape[0], 1) for pair in pairs]
    adapters = nn.ModuleList(adapters).to(trainer.device.torch_device)
    return _Hints(*features_of(pairs, student, teacher), adapters, weight)


class _Hints(FeatureLoss):
    """The distillation loss of hints; `adapters` are 1x1 convolutions, which act as linear layers on vectors."""

    def __init__(self, student: Features, teacher: Teacher, adapters: nn.ModuleList, weight: float):
        super().__init__(student, teacher)
        self.adapters, self.weight = adapters, weight

    def forward(self, images: Tensor, targets: Tensor, logits: Tensor, loss: Tensor) -> Tensor:
        pairs = zip(self.adapters, self.pairs(images), strict=True)
        distances = (hint_loss(adapter(own), wanted) for adapter, (own, wanted) in pairs)
        return loss + self.weight * sum(distances)


def hint_loss(adapted: Tensor, hint: Tensor) -> Tensor:
    """``|| hint - adapted ||² / 2`` of two features (n, C, H, W), as a mean over all elements (equation 3).

    Maps of different sizes are averaged down to the smaller one.
    """
    adapted, hint = at_same_size(adapted.float(), hint.float())
    return (hint - adapted).square().mean() / 2
