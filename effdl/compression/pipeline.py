"""The compression steps of a config, the rules for their order, and the distillation losses."""

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import nn

from effdl.compression.method import Kind, kind_of
from effdl.config.instantiate import instantiate, locate
from effdl.config.naming import option_name
from effdl.pretraining.trunk import pretraining_of
from effdl.training.trainer import MakeLoss, Trainer
from effdl.utils.errors import UserError

_Step = Callable[[nn.Module, Trainer], nn.Module]
_OWN_STAGES = ("pretraining", "dense", "teacher")
DOES = {
    "structure": "changes the shapes of layers",
    "mask": "sets weights to zero",
    "values": "shares or quantizes weights",
    "conversion": "converts the model for its runtime",
}


class Stage(NamedTuple):
    """A part of a run, after which the model is measured.

    `name` is unique in the run, `method` is the key of the method under ``compression``, `step` is the function and
    `kind` what it does to a model, if it says so. `classifies`: whether the model has a trained last layer after it.
    """

    name: str
    method: str
    step: _Step
    kind: Kind | None = None
    classifies: bool = True


def train_fully(model: nn.Module, trainer: Trainer) -> nn.Module:
    """Train for all epochs of the run's recipe."""
    return trainer.fit(model, epochs=trainer.recipe.epochs)


def steps_on(config: dict) -> list[tuple[str, dict]]:
    """Name and config node of the compression methods that are turned on, in the order of the config."""
    return [(name, node) for name, node in config["compression"].items() if node.get("level")]


def stages_of(config: dict) -> list[Stage]:
    """The stages of a run: pretraining, the first training, named ``dense``, and every compression step turned on."""
    stages = [Stage("dense", "train", train_fully)]
    if node := config["pretraining"]:
        stages.insert(0, Stage("pretraining", option_name(node), pretraining_of(node), "training", classifies=False))
    for name, node in steps_on(config):
        kind = kind_of(locate(node["_target_"]))
        if kind != "distillation_loss":
            stage = node.get("stage", name)
            before = sum(earlier.name.partition("-")[0] == stage for earlier in stages)
            numbered = f"{stage}-{before + 1}" if before else stage
            stages.append(Stage(numbered, name, instantiate(node), kind))
    return stages


def distillation_losses_of(config: dict) -> list[tuple[Callable[[str], bool], MakeLoss]]:
    """Pairs of a predicate and a factory, one for each distillation loss that is turned on.

    The predicate takes the name of a stage and says whether the loss applies to its trainings; the factory makes the
    loss.
    """

    def applies(stage: str, level: str, during: list[str] | None) -> bool:
        if stage == "teacher" or (stage == "dense" and level == "self"):
            return False
        return during is None or stage in during

    return [
        (partial(applies, level=node["level"], during=node.get("during")), instantiate(node))
        for _, node in steps_on(config)
        if kind_of(locate(node["_target_"])) == "distillation_loss"
    ]


def check_order(steps: list[tuple[str, Kind | None]]) -> None:
    """Check, before any training, that every step may follow the steps before it.

    Args:
        steps: name and kind of the steps that are turned on, in order.

    Raises:
        UserError: a step may not follow another; the message names both and the reason.
    """
    for position, (name, kind) in enumerate(steps):
        for earlier, before in steps[:position]:
            if reason := _conflict(before, kind):
                raise UserError(f"compression: {name} cannot come after {earlier}, {reason}")


def check_stages(config: dict) -> None:
    """Check the names of the stages that the steps make, which must not be those of the run's own.

    Raises:
        UserError: a name is taken, or no word.
    """
    for name, node in steps_on(config):
        stage = node.get("stage", name)
        if stage in _OWN_STAGES or not re.fullmatch(r"\w+", stage):
            allowed = f"allowed is a word, but not {', '.join(_OWN_STAGES)}, which are stages of the run's own"
            raise UserError(f"compression.{name}.stage={stage}: {allowed}")


def check_rewinding(config: dict) -> None:
    """Check that the epochs to which steps go back are there, and one only, since the run keeps weights once.

    Raises:
        UserError: names the key, its value and what is allowed.
    """
    kept, reshaped = {}, None
    for name, node in steps_on(config):
        how, key = node.get("retrain", "finetune"), f"compression.{name}.rewind_epoch={node.get('rewind_epoch')}"
        if how == "rewind_weights":
            kept[node["rewind_epoch"]] = key
            if not config["epochs"]:
                raise UserError(f"compression.{name}.retrain={how}: with epochs=0 there is nothing to go back to")
            if reshaped:
                raise UserError(
                    f"compression.{name}.retrain={how}: {reshaped} comes before and changes the layers; put it after "
                    "this step, or take rewind_lr"
                )
        if how != "finetune":
            own = config["epochs"] if node["epochs"] is None else node["epochs"]
            most = min(own, config["epochs"]) if how == "rewind_weights" else own
            if node["rewind_epoch"] > most:
                raise UserError(f"{key}: allowed is a whole number <= {most} (epochs)")
        if kind_of(locate(node["_target_"])) == "structure":
            reshaped = name
    if len(kept) > 1:
        raise UserError(f"{' and '.join(kept.values())}: all steps must go back to the same epoch")


def rewind_epoch(config: dict) -> int | None:
    """The epoch of the first training to whose weights steps go back, if any does (see `check_rewinding`)."""
    epochs = (node["rewind_epoch"] for _, node in steps_on(config) if node.get("retrain") == "rewind_weights")
    return next(epochs, None)


def check_during(config: dict) -> None:
    """Check the keys ``during``: only distillation losses have one, and it names stages of this run.

    Raises:
        UserError: a key ``during`` is not allowed or names no stage, or no training could use a distillation loss.
    """
    stages = {stage.name.partition("-")[0] for stage in stages_of(config) if stage.classifies}
    for name, node in steps_on(config):
        during, key = node.get("during"), f"compression.{name}.during"
        if "during" in node and kind_of(locate(node["_target_"])) != "distillation_loss":
            raise UserError(f"{key}: allowed for distillation losses only")
        if unknown := sorted(set(during or []) - stages):
            raise UserError(f"{key}: {unknown[0]} is no stage of this run (allowed: {', '.join(sorted(stages))})")
        if node["level"] == "self" and stages == {"dense"}:
            raise UserError("distill=self: no training follows the first, which is the teacher (add prune=..., say)")


def _conflict(before: Kind | None, kind: Kind | None) -> str | None:
    """The reason why a step of one kind cannot follow a step of another kind; None if it can."""
    if None in (before, kind) or "distillation_loss" in (before, kind):
        return None
    if before in ("values", "conversion") and kind in ("values", "conversion"):
        return "the weights are quantized already"
    if before == "conversion":
        return f"which {DOES[before]}: nothing may change or train it after that"
    if kind == "training":
        return "whose work a newly trained model would lose: it comes first"
    if (kind == "structure" and before in ("mask", "values")) or (kind == "mask" and before == "values"):
        return f"which {DOES[before]}: what {DOES[kind]} comes first"
    return None
