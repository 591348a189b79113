"""A run under way: everything it holds, and its steps from top to bottom."""

import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module

import torch
from torch import Tensor, nn

from effdl.compression.pipeline import Stage, distillation_losses_of, stages_of, train_fully
from effdl.config.instantiate import instantiate
from effdl.deploy.speedup import verdict
from effdl.measure.costs import spent
from effdl.measure.energy import Energy, EnergyMeter, of_all_processes
from effdl.measure.memory import count_from_here, uncounted
from effdl.measure.size import pruned
from effdl.models import storage
from effdl.nn.parametrizations import materialize_parametrizations, quant_grids
from effdl.runs.evaluate import evaluate
from effdl.runs.folder import RunFolder
from effdl.runs.prepare import PreparedRun
from effdl.runs.shared import SHARED, SharedTrainings
from effdl.runs.stage import (
    check_loss,
    energy_source,
    keep_layers,
    measuring_cost,
    pretrained,
    recorded,
    stage_cost,
    warn_of_guessing,
    warn_of_others,
)
from effdl.runs.verify import run_mark
from effdl.training.callbacks import Callbacks
from effdl.training.checkpoint import Checkpoint
from effdl.training.epoch_log import EpochLog
from effdl.training.frozen_trunk import HeadTraining, head_training
from effdl.training.loop import fit
from effdl.training.recipe import Recipe
from effdl.training.trainer import Trainer
from effdl.utils.distributed import from_main
from effdl.utils.errors import RunError
from effdl.utils.files import sha256_of
from effdl.utils.hardware import cpu_flags
from effdl.utils.seeding import derive_seed

log = logging.getLogger(__name__)


@dataclass
class Runner:
    """What a run holds while it goes on."""

    prepared: PreparedRun
    folder: RunFolder
    meter: EnergyMeter
    callbacks: Callbacks = field(default_factory=Callbacks)
    shared: SharedTrainings | None = None  # what other runs have trained that begin alike
    trainer: Trainer = field(init=False)  # what the methods are given

    def __post_init__(self) -> None:
        self.trainer = Trainer(
            self.prepared.data,
            self.prepared.recipe(),
            self.prepared.device,
            self.train,
            self.prepared.fresh_model,
            self.early_weights,
            self.prepared.teachers,
            distillation_losses_of(self.prepared.located),
        )

    def run_stages(self) -> None:
        """Train, then apply every compression step in order, measuring after each."""
        import_module("torch._dynamo")  # the first optimizer does, in seconds that are no training
        count_from_here(self.prepared.nbytes)
        for line in (self.prepared.describe(), *self.prepared.notes):
            self.callbacks.message(line)
            log.info("%s", line)
        stages = stages_of(self.prepared.located)
        taught = ["teacher"] if self._trains_teacher else []
        self.callbacks.run_begin([*taught, *(stage.name for stage in stages)])
        self.prepare_teachers()
        model = self.prepared.model
        for stage in stages:
            model = self.run_stage(stage, model)
            if stage.name == "dense":
                self.trainer.dense = materialize_parametrizations(model).eval().requires_grad_(False)

    @property
    def _trains_teacher(self) -> bool:
        """Whether there is a teacher without weights."""
        return "teacher" in self.prepared.teachers and not self.prepared.config["teacher"]["weights"]

    def prepare_teachers(self) -> None:
        """Make the teachers ready; one that has no weights is trained first, by the run's own recipe."""
        for name, teacher in self.prepared.teachers.items():
            self.prepared.device.move(teacher)
            if name == "teacher" and self._trains_teacher:
                self.run_stage(Stage("teacher", "train", train_fully), teacher)
            teacher.eval().requires_grad_(False)

    def run_stage(self, stage: Stage, model: nn.Module) -> nn.Module:
        """One step, and the measures of what it made, unless they were taken before the run was cut off."""
        self.callbacks.stage_begin(stage.name)
        self.trainer.stage = stage.name
        torch.manual_seed(derive_seed(self.prepared.config["seed"], "step", stage.name))
        with self._sharing(stage.name), self.meter.phase() as used:  # outside its epochs, which are phases of their own
            model = stage.step(model, self.trainer)
        if not isinstance(model, nn.Module):
            raise RunError(f"{stage.method} is no compression method: it returned {model!r} instead of a model")
        used = of_all_processes(used)
        with uncounted():
            from_main(lambda: self.record(stage, model, used))  # nobody disturbs what is timed
        return model

    def record(self, stage: Stage, model: nn.Module, used: Energy) -> None:
        """Store and measure what a step made, unless it was measured before, and tell the callbacks.

        Args:
            used: by the step, outside its epochs.
        """
        row = recorded(self.folder, stage.name)
        if row is None:
            log.info("%s: storing and measuring", stage.name)
            self.callbacks.measuring_begin(stage.name)
            with self.meter.phase() as stored:
                self.store(stage.name, model)
            costs = stage_cost(self.folder, stage.name, used + stored) | {"energy_source": energy_source(self.meter)}
            warn_of_others(stage.name, costs)
            row = {"stage": stage.name, "method": stage.method, **self.evaluate(stage), **costs}
            warn_of_guessing(stage.name, row, self.prepared.data.train.labels)
            row["params_pruned"] = pruned(model)
            row["model_sha256"] = sha256_of(self.folder.model_file)
            self.folder.stages.append(row)
            log.info("%s: %s", stage.name, row)
        self.callbacks.stage_end(row)

    def _sharing(self, stage: str) -> AbstractContextManager:
        """Within it the next training is carried out, if no other run has, or restored."""
        if self.shared is None or stage not in SHARED:
            return nullcontext()
        return self.shared.training(self.folder, self.prepared.config, stage, self.trainer.trainings)

    def store(self, stage: str, model: nn.Module) -> None:
        """Write the model as it will be deployed, its parametrizations materialized."""
        plain = materialize_parametrizations(model)
        description = self.prepared.model_description(stage, plain) | run_mark(self.folder.key)
        storage.write(self.folder.model_file, plain.state_dict(), description, quant_grids(model))

    def evaluate(self, stage: Stage) -> dict:
        """All measures of the stored model, and what measuring cost."""
        config = self.prepared.config
        with self.meter.phase() as used:
            row = evaluate(
                self.folder.model_file,
                self.prepared.data,
                self.prepared.device.torch_device,
                topk=config["topk"],
                batch_size=config["eval_batch_size"],
                metrics={key: instantiate(node) for key, node in config["metric"].items()},
                dense=self.trainer.dense,
                channels_last=self.prepared.device.channels_last,
                runtime=self.prepared.device.runtime,
                trusted=True,
                classifies=stage.classifies,
            )
        if stage.classifies:
            check_loss(row)
        else:
            row |= pretrained(self.folder)
        layers = row.pop("layers")
        keep_layers(self.folder, stage.name, layers, stage.kind)
        if self.trainer.dense is not None:
            dense = recorded(self.folder, "dense")
            row["speed"] = verdict(dense, row, {"cpu_flags": cpu_flags(), "layers": len(layers)})
        size_fp32 = 4 * (row["params"] if stage.name == "teacher" else self.prepared.parameters)
        sizes = {"size_fp32_bytes": size_fp32, "compression_ratio": size_fp32 / row["size_bytes"]}
        return row | sizes | measuring_cost(used) | {"layers": len(layers)}

    def train(self, model: nn.Module, recipe: Recipe, stage: str, number: int) -> nn.Module:
        """Execute a training of a stage, of a last layer alone on features, or restore it if it was finished before."""
        seed, data, device = self.prepared.config["seed"], self.prepared.data, self.prepared.device
        trained, flops = model, 0.0
        found = head_training(model, data, recipe, device, seed=derive_seed(seed, "views", number))
        if isinstance(found, HeadTraining):
            trained, data, recipe, flops = found.head, found.data, found.recipe, found.flops
        if found:
            self.callbacks.message(f"{stage}: {found}")
        fit(
            trained,
            data.with_unlabelled() if recipe.distillation_losses or recipe.objective else data,  # they need no labels
            recipe,
            device,
            seed=derive_seed(seed, "fit", number),
            checkpoint=self.checkpoint(number),
            meter=self.meter,
            callbacks=self.callbacks,
            log=EpochLog(self.folder.epochs, stage, number),
            flops_before=flops,
        )
        torch.manual_seed(derive_seed(seed, "after", number))  # the same whether it was trained now or before
        return model.eval()

    def checkpoint(self, number: int) -> Checkpoint:
        """Where a training's state is."""
        return Checkpoint(self.folder.path, number, self.folder.key)

    def early_weights(self) -> dict[str, Tensor]:
        """The weights that the run's first training had after `Recipe.keep_epoch` epochs.

        Raises:
            RunError: it was stopped before.
        """

        def stored() -> dict[str, Tensor]:
            dense = next(row["fit"] for row in self.folder.epochs.read() if row["stage"] == "dense")
            early = self.checkpoint(dense).load()["early"]
            if early is None:
                epoch, patience = self.trainer.recipe.keep_epoch, self.trainer.recipe.early_stop
                raise RunError(f"rewind_epoch={epoch}: the first training ended before it (early_stop={patience})")
            return early

        device = self.prepared.device.torch_device
        return {name: tensor.to(device) for name, tensor in from_main(stored).items()}

    def total(self) -> dict:
        """Sums over all stages, apart from them those of measuring, and what the energy figures rest on.

        With `resumed` above 0 the sums leave out what was lost to the interruptions: epochs that were cut off.
        """
        rows = self.folder.stages.read()
        return {
            "epochs": sum(row["epochs"] for row in rows),
            **spent(rows),
            "resumed": self.folder.run["resumed"],
            "source": self.meter.sources(),
            "energy": self.meter.describe(),
        }
