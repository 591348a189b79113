"""Every combination of the swept values: Hydra's own sweeper, for jobs that share what is composed."""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from effdl.sweep.loader import sharing


class GridSweeper(BasicSweeper):
    """Hydra's basic sweeper for configs that are frozen and of which every value was checked."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra has composed, and make the launcher."""
        super().setup(hydra_context=sharing(hydra_context, config), task_function=task_function, config=config)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing: see `effdl.sweep.launch.check_sweep`."""
