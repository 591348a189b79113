"""Every combination of the swept values: Hydra's own sweeper, without what it does anew for every job."""

from collections.abc import Sequence

from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(BasicSweeper):
    """Hydra's basic sweeper for configs that are frozen and of which every value was checked."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Read each config file once."""
        loader = hydra_context.config_loader
        loader.repository = CachingConfigRepository(loader.repository)
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing: see `effdl.commands.sweep.check`."""
