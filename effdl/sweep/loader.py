"""The configs of a sweep's jobs, without what Hydra does anew for every job."""

from collections.abc import Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_repository import CachingConfigRepository
from hydra.core.override_parser.types import OverrideType
from hydra.types import HydraContext
from omegaconf import DictConfig

from effdl.config.compose import plain_keys, with_values
from effdl.config.overrides import parse


class SweepLoader(ConfigLoaderImpl):
    """Hydra's loader for config files that do not change: jobs that differ in plain values share a composition.

    Args:
        hydra_context: whose search path is used.
        config: of the sweep; tells plain values from options of groups.
    """

    def __init__(self, hydra_context: HydraContext, config: DictConfig):
        super().__init__(hydra_context.config_loader.get_search_path())
        self.repository = CachingConfigRepository(self.repository)
        self.plain = plain_keys(config)
        self.composed: dict[tuple[str, ...], DictConfig] = {}

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: Sequence[str]) -> DictConfig:
        """The same as Hydra's, for overrides that fit."""
        overrides = parse(sweep_overrides)
        plain = [o for o in overrides if o.type is OverrideType.CHANGE and o.get_key_element() in self.plain]
        others = tuple(override.input_line for override in overrides if override not in plain)
        if others not in self.composed:
            self.composed[others] = super().load_sweep_config(master_config, list(others))
        config = with_values(self.composed[others], plain)
        task = [override for override in overrides if not override.is_hydra_override()]
        config.hydra.runtime.cwd = master_config.hydra.runtime.cwd  # a launcher's process may be elsewhere
        config.hydra.overrides.task = [override.input_line for override in task]
        config.hydra.job.override_dirname = get_overrides_dirname(task, **config.hydra.job.config.override_dirname)
        return config


def sharing(hydra_context: HydraContext, config: DictConfig) -> HydraContext:
    """What a sweeper gives to its launcher, with such a loader."""
    return HydraContext(config_loader=SweepLoader(hydra_context, config), callbacks=hydra_context.callbacks)
