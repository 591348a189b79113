"""What a config may hold: the run's own keys with their types and ranges, and the groups.

A key's type and range are written once: here for the run's own keys, and for everything a group selects in the
signature of the function that its ``_target_`` names. Keyword-only parameters are keys of the config; positional ones
are supplied by the run.
"""

import os
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from effdl.config.types import (
    Bits,
    Count,
    Fraction,
    Natural,
    NonNegative,
    Normalization,
    Pattern,
    Positive,
    Seed,
    SpeedUp,
    Trainable,
)

HYDRA_KEYS = ("_target_", "_partial_")
_MOST_THREADS = 4 * (os.cpu_count() or 1)  # more only wait for each other
OPENED_THREADS = 512  # a run of a larger machine may have more than a new one may have here; PyTorch dies of too many


@dataclass(frozen=True)
class Settings:
    """The top-level keys of ``train.yaml``."""

    seed: Seed
    epochs: Natural
    batch_size: Count
    eval_batch_size: Count
    trainable: Trainable
    unfreeze: Count | None
    cached_views: Count | None
    label_smoothing: Fraction
    dropout: Fraction
    clip_norm: Positive | None
    l1: NonNegative
    ema: Fraction | None
    early_stop: Count | None
    topk: Annotated[list[Count], Field(min_length=1)]
    prune: Fraction | SpeedUp | Pattern | None
    factorize: Fraction | None
    quantize: Literal["int8", "fp16", "bf16", "binary", "ternary"] | Bits | None
    distill: Annotated[str, Field(min_length=1, description="a run folder, self, peer, born_again or teacher")] | None
    resume: bool | Annotated[str, Field(min_length=1, description="a run folder")]


@dataclass(frozen=True)
class DeviceSettings:
    """The keys of the group ``device``."""

    name: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["fp32", "bf16", "fp16"]
    channels_last: bool | None
    compile: bool
    threads: Annotated[int, Field(ge=1, le=_MOST_THREADS)] | None
    deterministic: bool
    runtime: Literal["eager", "onnx"]


# Groups whose keys all functions of the group share, besides those of the function itself.
SHARED = {
    "model": {"weights": str | None, "normalization": Normalization | None},
    "dataset": "effdl.data.build.split_source",
    "pretraining": "effdl.pretraining.trunk.pretrain",
    "optimizer": {"layer_decay": Annotated[float, Field(gt=0, le=1)] | None},
    "compression": {"stage": str, "during": list[str] | None},
}
# Keys that are the run's, not of the function that a node names.
RUN_KEYS = (*HYDRA_KEYS, *SHARED["optimizer"], *SHARED["compression"])
# What the run gives to the functions of a group, which are therefore no keys: so many positional arguments, or those
# of these names that a function has.
SUPPLIED: dict[str, int | tuple[str, ...]] = {
    "model": ("channels", "image_size", "classes", "pretrained"),
    "teacher": ("channels", "image_size", "classes", "pretrained"),
    "optimizer": 1,
    "scheduler": 3,
    "augment": 2,
    "compression": 2,
    "pretraining": 2,
    "logger": 2,
    "metric": 2,
}
GROUPS = (
    "dataset",
    "model",
    "optimizer",
    "scheduler",
    "augment",
    "pretraining",
    "compression",
    "metric",
    "device",
    "energy",
    "logger",
)
NODES = (*GROUPS, "teacher")  # keys whose values are no single values
LEVELS = ("prune", "factorize", "quantize", "distill")
TEACHERS = ("self", "peer", "born_again", "teacher")  # values of distill that are no run folder
