"""What the steps of a plan make of the dense model without any training: its shapes, and how fast it is."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from pydantic import FiniteFloat

from effdl.compression.pipeline import stages_of
from effdl.compression.prune.dependency import library
from effdl.config.compose import composed, settings
from effdl.config.paths import located
from effdl.config.validation import check_targets
from effdl.deploy.latency import as_deployed
from effdl.deploy.qdq import fits_int8
from effdl.measure.activation_memory import peak_activation_bytes
from effdl.measure.macs import macs
from effdl.measure.size import count
from effdl.models.stored import load_model
from effdl.nn.parametrizations import materialize_parametrizations, quant_grids
from effdl.runs.prepare import PreparedRun, prepare_run
from effdl.search.goal import LATENCY_PART, STRUCTURE
from effdl.search.plan import Plan
from effdl.training.trainer import Trainer
from effdl.utils.errors import RunError
from effdl.utils.rows import Rows
from effdl.utils.seeding import derive_seed
from effdl.utils.shapes import Shape, read_shaped_rows

log = logging.getLogger(__name__)


class _Row(Shape):
    """A row of ``dry_runs.jsonl``: what a plan's steps make; None: they cannot be carried out, or it
    was not asked for."""

    filters: float
    int8: bool
    params: int | None = None
    macs: int | None = None
    peak_activation_bytes: int | None = None
    latency_ms: FiniteFloat | None = None
    latency_part: FiniteFloat | None = None  # of the dense model's, in turns


@dataclass
class DryRuns:
    """The plans that remove filters and make integers, carried out on the dense model without training.

    Filters of an untrained step have the scores of the dense model, as in a run; so shapes are those that the run will
    have, unless it removes filters in several rounds with training between them.

    Args:
        dense: folder of the dense model.
        overrides_of: the overrides of a run that makes a plan, without a teacher.
        config_dir: the user's own configs and code.
        timed: whether latencies are asked for.
        file: where rows are kept; what is there is not measured again.
    """

    dense: Path
    overrides_of: Callable[[Plan], list[str]]
    config_dir: str | None
    timed: bool
    file: Path

    def row(self, plan: Plan) -> dict[str, float]:
        """Metrics of the model, by key, with `LATENCY_PART`; empty if the steps cannot be carried out on this model."""
        rows = read_shaped_rows(self.file, _Row)
        found = next((row for row in rows if (row.filters, row.int8) == (plan.filters, plan.int8)), None)
        if found is None:
            found = _Row(filters=plan.filters, int8=plan.int8, **self._measured(plan, rows))
            if found.params is not None and (found.latency_ms is not None or not self.timed):  # else it is tried again
                Rows(self.file).append(found.model_dump())
        return {key: value for key in (*STRUCTURE, LATENCY_PART) if (value := getattr(found, key)) is not None}

    def _measured(self, plan: Plan, rows: list[_Row]) -> dict:
        """The columns of a row.

        Raises:
            UserError: what a run is told is wrong, or a library is missing.
        """
        if plan.filters:
            library()
        if (model := self._made(plan)) is None:
            return {}
        grids, shape = quant_grids(model), self._prepared.data.input_shape
        model = materialize_parametrizations(model).eval()
        operations, integers = macs(model, shape), fits_int8(model, grids)
        size = {"params": count(model)["params"], "macs": operations["macs"]}
        for row in rows:  # other fractions, of which as many filters go
            if row.int8 == plan.int8 and (row.params, row.macs) == tuple(size.values()):
                return row.model_dump(exclude={"filters", "int8"})
        width = 1 if integers else next(model.parameters()).element_size()
        size["peak_activation_bytes"] = peak_activation_bytes(model, shape, width)
        if not self.timed:
            return size
        device = self._prepared.device
        try:
            times = as_deployed(
                model,
                device.move(load_model(self.dense)),
                {},
                grids,
                shape,
                device.torch_device,
                torch.get_num_threads(),
                channels_last=device.channels_last,
                runtime=device.runtime,
            )
        except RunError as error:
            log.warning("not timed: %s", error)
            return size
        part = 1 / times["speedup"] if times["speedup"] else None
        return {**size, "latency_ms": times["latency_ms"], "latency_part": part}

    def _made(self, plan: Plan) -> torch.nn.Module | None:
        """The model of a plan's steps; None if they cannot be carried out on this model, which a run then explains."""
        prepared = self._prepared
        config = located(self._config(self.overrides_of(plan)), prepared.typed_in)
        trainer = Trainer(
            prepared.data,
            prepared.recipe(),
            prepared.device,
            lambda model, *_: model.eval(),
            prepared.fresh_model,
            dict,
        )
        model = prepared.device.move(load_model(self.dense))
        for stage in stages_of(config):
            trainer.stage = stage.name
            torch.manual_seed(derive_seed(config["seed"], "step", stage.name))
            try:
                model = stage.step(model, trainer)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # of any type, where torch-pruning misunderstands the model
                log.info("%s: %r", stage.name, error)
                return None
        return model

    @cached_property
    def _prepared(self) -> PreparedRun:
        """The data and the device of a run that does nothing with the dense model."""
        return prepare_run(self._config(self.overrides_of(Plan())))

    def _config(self, overrides: list[str]) -> dict:
        """The checked config of a run."""
        config = settings(composed(overrides, self.config_dir))
        check_targets(config)
        return config
