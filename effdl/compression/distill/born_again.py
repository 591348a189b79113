"""Born-again networks: a model of the same kind learns from the model before it, again and again.

Furlanello, Lipton, Tschannen, Itti & Anandkumar 2018, "Born Again Neural Networks", section 3.
"""

from torch import nn

from effdl.compression.distill.logits import SoftTargets
from effdl.compression.method import compression_method
from effdl.config.types import Count, Positive, UnitInterval
from effdl.training.trainer import Trainer


@compression_method("training")
def born_again(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: str | None,
    generations: Count,
    temperature: Positive,
    weight: UnitInterval,
) -> nn.Module:
    """Train `generations` untrained models one after another, each with the one before as its teacher.

    Every one trains for all epochs of the run. Returns the last.

    Args:
        level: ``born_again``.
        temperature: by which the logits of both are divided; 1 in the paper.
        weight: of the teacher's probabilities, against those of the labels.
    """
    for _ in range(generations):
        loss = SoftTargets(model, temperature, weight)
        student = trainer.fresh_model()
        model = trainer.fit(student, epochs=trainer.recipe.epochs, distillation_loss=lambda _, loss=loss: loss)
    return model
