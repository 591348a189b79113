"""Which steps a config asks for, in their order, and which losses guide their trainings."""

from collections.abc import Callable
from functools import partial

from torch import nn

from effdl.bench import Bench, Guide
from effdl.compression.order import kind_of
from effdl.config import instantiate, locate
from effdl.errors import UserError

Step = Callable[[nn.Module, Bench], nn.Module]


def train_fully(model: nn.Module, bench: Bench) -> nn.Module:
    """Train by the run's whole recipe."""
    return bench.fit(model, epochs=bench.recipe.epochs)


def steps_on(config: dict) -> list[tuple[str, dict]]:
    """Name and node of the compression methods that are on."""
    return [(name, node) for name, node in config["compression"].items() if node.get("level")]


def steps_of(config: dict) -> list[tuple[str, str, Step]]:
    """Stage, method and function of every step that is on, the first training included; stages have unique names."""
    steps: list[tuple[str, str, Step]] = [("dense", "train", train_fully)]
    for name, node in steps_on(config):
        if kind_of(locate(node["_target_"])) != "guide":
            stage = node.get("stage", name)
            before = sum(earlier.partition("-")[0] == stage for earlier, _, _ in steps)
            steps.append((f"{stage}-{before + 1}" if before else stage, name, instantiate(node)))
    return steps


def guides_of(config: dict) -> list[tuple[Callable[[str], bool], Guide]]:
    """The losses of distillation, each with the question whether it applies to the trainings of a stage."""

    def applies(stage: str, level: str, during: list[str] | None) -> bool:
        if stage == "teacher" or (stage == "dense" and level == "self"):
            return False
        return during is None or stage in during

    return [
        (partial(applies, level=node["level"], during=node.get("during")), instantiate(node))
        for _, node in steps_on(config)
        if kind_of(locate(node["_target_"])) == "guide"
    ]


def check_during(config: dict) -> None:
    """Make sure that guides, and only they, name stages to apply to, and that there are such stages.

    Raises:
        UserError: not so.
    """
    stages = {stage.partition("-")[0] for stage, _, _ in steps_of(config)}
    for name, node in steps_on(config):
        during, key = node.get("during"), f"compression.{name}.during"
        if "during" in node and kind_of(locate(node["_target_"])) != "guide":
            raise UserError(f"{key}: allowed for distillation losses only")
        if unknown := sorted(set(during or []) - stages):
            raise UserError(f"{key}: {unknown[0]} is no stage of this run (allowed: {', '.join(sorted(stages))})")
        if node["level"] == "self" and stages == {"dense"}:
            raise UserError("distill=self: no training follows the first, which is the teacher (add prune=..., say)")
