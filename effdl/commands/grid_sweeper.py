"""Every combination of the swept values: Hydra's own sweeper, without composing each job twice."""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class GridSweeper(BasicSweeper):
    """Hydra's basic sweeper; every value was checked before it is asked, so its own check is left out."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing: see `effdl.commands.sweep.check`."""
