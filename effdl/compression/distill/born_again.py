"""Born-again networks: a model of the same kind learns from the model before it, again and again.

Furlanello, Lipton, Tschannen, Itti & Anandkumar 2018, "Born Again Neural Networks", section 3.
"""

from torch import nn

from effdl.bench import Bench
from effdl.compression.distill.logits import SoftTargets
from effdl.compression.order import effect
from effdl.types import Count, Positive, UnitInterval


@effect("training")
def born_again(
    model: nn.Module,
    bench: Bench,
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
        guide = SoftTargets(model, temperature, weight)
        model = bench.fit(bench.fresh_model(), epochs=bench.recipe.epochs, guide=lambda student, guide=guide: guide)
    return model
