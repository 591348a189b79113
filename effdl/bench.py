"""What a compression step is given besides the model."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from effdl.data.load import Data
from effdl.recipe import Recipe


@dataclass
class Bench:
    """The data, the run's recipe, and a way to train by it.

    Trainings are numbered in the order in which they are asked for. A resumed run carries its steps out again from
    the start, and each training that was finished before returns at once with the weights it ended with; so a step
    needs no code for resuming, as long as it is deterministic.
    """

    data: Data
    recipe: Recipe
    train: Callable[[nn.Module, Recipe, str, int], nn.Module]
    stage: str = ""
    trainings: int = 0

    def fit(self, model: nn.Module, *, epochs: int | None = None, lr_scale: float = 1.0) -> nn.Module:
        """Train a model in place at `lr_scale` times the run's learning rate; by default for half its epochs."""
        epochs = (self.recipe.epochs + 1) // 2 if epochs is None else epochs
        self.trainings += 1
        return self.train(model, replace(self.recipe, epochs=epochs, lr_scale=lr_scale), self.stage, self.trainings - 1)
