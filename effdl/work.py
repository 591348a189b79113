"""A run under way: each step carried out, stored, measured, and what it cost."""

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from effdl import artifact, promises
from effdl.bench import Bench
from effdl.checkpoint import Checkpoint
from effdl.compression.permanent import grids, make_permanent
from effdl.data.load import Data
from effdl.deploy.cpu import cpu_flags
from effdl.distributed import from_main
from effdl.epoch_log import EpochLog
from effdl.errors import RunError
from effdl.evaluate import measure
from effdl.files import append_row, read_rows, write_rows
from effdl.measure.energy import EnergyMeter
from effdl.prepare import Prepared, recipe_of
from effdl.recipe import Recipe
from effdl.report.progress import Progress
from effdl.report.verdict import verdict
from effdl.results import COSTS, RunFolder
from effdl.seeding import derive_seed
from effdl.steps import Step, guides_of, train_fully
from effdl.train import fit
from effdl.watchers import Watchers

log = logging.getLogger(__name__)


@dataclass
class Work:
    """A run under way."""

    prepared: Prepared
    data: Data
    folder: RunFolder
    meter: EnergyMeter
    display: Progress
    watchers: Watchers
    bench: Bench

    def teach(self) -> None:
        """Make the teachers ready; one that has no weights is trained first, by the run's own recipe."""
        for name, teacher in self.prepared.teachers.items():
            self.prepared.place.put(teacher)
            if name == "teacher" and not self.prepared.config["teacher"]["weights"]:
                self.carry_out("teacher", "train", train_fully, teacher)
            teacher.eval().requires_grad_(False)

    def carry_out(self, stage: str, method: str, step: Step, model: nn.Module) -> nn.Module:
        """One step, and the measures of what it made, unless they were taken before the run was cut off."""
        self.display.stage(stage)
        self.bench.stage = stage
        torch.manual_seed(derive_seed(self.prepared.config["seed"], "step", stage))
        model = step(model, self.bench)
        from_main(lambda: self.record(stage, method, model))  # nobody disturbs what is timed
        return model

    def record(self, stage: str, method: str, model: nn.Module) -> None:
        """Store and measure what a step made, unless it was measured before, and tell the watchers."""
        row = next((row for row in read_rows(self.folder.stages_file) if row["stage"] == stage), None)
        if row is None:
            log.info("%s: storing and measuring", stage)
            self.store(stage, model)
            row = {"stage": stage, "method": method, **self.measured(stage), **spent(self.folder, stage, self.meter)}
            append_row(self.folder.stages_file, row)
            log.info("%s: %s", stage, row)
        self.watchers.stage(row)

    def store(self, stage: str, model: nn.Module) -> None:
        """Write the model as it will be deployed, its parametrizations made permanent."""
        permanent = make_permanent(model)
        description = self.prepared.description(stage, permanent)
        artifact.write(self.folder.model_file, permanent.state_dict(), description, grids(model))

    def measured(self, stage: str) -> dict:
        """All measures of the stored model, and what measuring cost."""
        config = self.prepared.config
        with self.meter.phase() as used:
            row = measure(
                self.folder.model_file,
                self.data,
                self.prepared.place,
                topk=config["topk"],
                batch_size=config["eval_batch_size"],
                trusted=True,
            )
        if not math.isfinite(row["loss"]):
            raise RunError(
                f"the loss on the test split is {row['loss']}: lower optimizer.lr, or set clip_norm or warm-up"
            )
        layers = row.pop("layers")
        self.check_promises(stage, layers)
        dense = next((row for row in read_rows(self.folder.stages_file) if row["stage"] == "dense"), None)
        if dense:
            row["speed"] = verdict(dense, row, {"cpu_flags": cpu_flags(), "layers": len(layers)})
        size_fp32 = 4 * self.prepared.parameters
        sizes = {"size_fp32_bytes": size_fp32, "compression_ratio": size_fp32 / row["size_bytes"]}
        cost = {"duration_s": used.duration_s, "energy_kwh": used.energy_kwh, "co2eq_g": used.co2eq_g}
        return row | sizes | {f"evaluate_{key}": value for key, value in cost.items()}

    def check_promises(self, stage: str, layers: list[dict]) -> None:
        """Keep the layers' rows, and make sure that what earlier steps brought still holds.

        Raises:
            RunError: it does not: a method is at fault.
        """
        rows = [row for row in read_rows(self.folder.layers_file) if row["stage"] != stage]
        write_rows(self.folder.layers_file, rows + [{"stage": stage, **row} for row in layers])
        earlier = list(dict.fromkeys(row["stage"] for row in rows if row["stage"] != "teacher"))
        if stage == "teacher" or not earlier:
            return
        of = {name: [row for row in rows if row["stage"] == name] for name in earlier}
        if problems := promises.broken(of[earlier[-1]], layers):
            raise RunError(f"{stage} undid what {earlier[-1]} had brought: {'; '.join(problems[:3])}")
        for name in earlier[1:]:
            log.info("%s: %s still holds: %s", stage, name, promises.held(layers, of["dense"]))


def make_bench(
    prepared: Prepared, data: Data, folder: RunFolder, meter: EnergyMeter, display: Progress, watchers: Watchers
) -> Bench:
    """What the steps of this run are given."""
    return Bench(
        data,
        recipe_of(prepared.config, len(data.classes)),
        prepared.place,
        trainer(prepared, data, folder, meter, display, watchers),
        prepared.fresh_model,
        lambda: early_weights(folder, prepared.place.device),
        prepared.teachers,
        guides_of(prepared.config),
    )


def early_weights(folder: RunFolder, device: torch.device) -> dict[str, Tensor]:
    """The weights that the run's first training had after `Recipe.keep_epoch` epochs."""

    def stored() -> dict[str, Tensor]:
        dense = next(row["fit"] for row in read_rows(folder.epochs_file) if row["stage"] == "dense")
        return Checkpoint(folder.path, str(dense)).load()["early"]

    return {name: tensor.to(device) for name, tensor in from_main(stored).items()}


def trainer(
    prepared: Prepared, data: Data, folder: RunFolder, meter: EnergyMeter, display: Progress, watchers: Watchers
) -> Callable[[nn.Module, Recipe, str, int], nn.Module]:
    """The function by which the stages of this run train."""

    seed = prepared.config["seed"]

    def train(model: nn.Module, recipe: Recipe, stage: str, number: int) -> nn.Module:
        trained = fit(
            model,
            data,
            recipe,
            prepared.place,
            seed=derive_seed(seed, "fit", number),
            checkpoint=Checkpoint(folder.path, str(number)),
            meter=meter,
            display=display,
            log=EpochLog(folder.epochs_file, stage, number, watchers.epoch),
        )
        torch.manual_seed(derive_seed(seed, "after", number))  # the same whether it was trained now or before
        return trained

    return train


def spent(folder: RunFolder, stage: str, meter: EnergyMeter) -> dict:
    """Time, energy, CO2 and peak memory of a stage's trainings, from its epochs, those before an interruption too."""
    rows = [row for row in read_rows(folder.epochs_file) if row["stage"] == stage]
    peaks = [row["memory_peak_bytes"] for row in rows]
    return {
        "epochs": len(rows),
        **({key: add(row[key] for row in rows) for key in COSTS} if rows else nothing(meter)),
        "memory_peak_bytes": max(peaks) if peaks and None not in peaks else None,
    }


def nothing(meter: EnergyMeter) -> dict:
    """What a stage without training spent: nothing, if somebody looked."""
    known = set(meter.sources().values()) != {"unavailable"}
    return {"duration_s": 0.0, "energy_kwh": 0.0 if known else None, "co2eq_g": 0.0 if known else None}


def add(values: Iterable[float | None]) -> float | None:
    """A sum, unknown if a part is unknown."""
    values = list(values)
    return None if None in values else sum(values)
