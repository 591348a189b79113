"""Attention transfer: a loss between maps of the positions at which layers are active.

Zagoruyko & Komodakis 2017, "Paying More Attention to Attention", section 3.1.
"""

import logging
from math import prod

from torch import Tensor, nn
from torch.nn import functional as F

from effdl.compression.distill.features import FeatureLoss, Features, Teacher, at_same_size
from effdl.compression.distill.layer_pairs import Pair, features_of, output_maps, pair_layers, stage_ends
from effdl.compression.method import compression_method
from effdl.config.types import NonNegative
from effdl.training.trainer import Trainer
from effdl.utils.errors import UserError

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
        UserError: see `attention`.
    """
    maps, teacher_maps = output_maps(student, input_shape), output_maps(teacher, input_shape)
    wanted = stage_ends(maps) if student_layers is None else student_layers
    pairs = pair_layers(maps, teacher_maps, wanted, teacher_layers, "compression.attention")
    for left, own, right, other in pairs:
        if 1 in (prod(own[1:]), prod(other[1:])):
            raise UserError(
                f"compression.attention: {left} of the student and {right} of the teacher give"
                f" {tuple(own)} and {tuple(other)}: attention needs maps of more than one pixel"
                " (compression=[hints] and [relational] do without)"
            )
    return pairs


@compression_method("distillation_loss", _pairs_of)
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
        beta: factor on the loss.
        student_layers: names or patterns of layers of the student; None: the end of every stage, as in the paper.
        teacher_layers: names or patterns of as many layers of the teacher; None: those with maps nearest in size.

    Raises:
        UserError: a pattern matches no layer, the lists have different lengths, or a layer has maps of one pixel.
    """
    teacher = trainer.teacher(level)
    pairs = _pairs_of(student, teacher, trainer.input_shape, student_layers, teacher_layers)
    log.info("attention: %s", ", ".join(map(str, pairs)))
    return _AttentionTransfer(*features_of(pairs, student, teacher), beta)


class _AttentionTransfer(FeatureLoss):
    """The distillation loss of attention transfer."""

    def __init__(self, student: Features, teacher: Teacher, beta: float):
        super().__init__(student, teacher)
        self.beta = beta

    def forward(self, images: Tensor, targets: Tensor, logits: Tensor, loss: Tensor) -> Tensor:
        distances = (attention_loss(own, wanted) for own, wanted in self.pairs(images))
        return loss + self.beta / 2 * sum(distances)


def attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance (0 to 2) of the attention maps of two features (n, C, H, W), averaged over images (equation 2).

    An attention map is the sum of squares over the channels, normalized to a vector of length 1. Maps of different
    sizes are averaged down to the smaller one. The authors' code divides by the number of pixels (with a beta of 1000),
    which gives more weight to small maps and small images.
    """
    maps = (x.float().square().mean(dim=1, keepdim=True) for x in (student, teacher))
    student, teacher = (F.normalize(x.flatten(1)) for x in at_same_size(*maps))
    return (student - teacher).square().sum(dim=1).mean()
