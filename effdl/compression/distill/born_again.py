"""Born-again networks: generations of equal models, each with the one before as its teacher.

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
    """Train `generations` newly initialized models in turn, each with the one before as its teacher; return the last.

    Every one is trained for all epochs of the run.

    Args:
        level: the only level is "born_again".
        generations: number of models to train.
        temperature: divides the logits of teacher and student; 1 in the paper.
        weight: weight of the teacher's probabilities, from 0 (labels only) to 1 (teacher only).
    """
    for _ in range(generations):
        loss = SoftTargets(model, temperature, weight)
        student = trainer.fresh_model()
        model = trainer.fit(student, epochs=trainer.recipe.epochs, distillation_loss=lambda _, loss=loss: loss)
    return model
