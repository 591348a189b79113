"""The checks on a GPU: a training each, and what must be true of it."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from run_methods import METHODS, TEACHER
from run_pretraining import MODELS

from effdl.config.options import config_folder, option_files
from gpu_checks import acts
from gpu_checks.shell import Shell

SMALL = ("model=resnet", "model.depth=8", "epochs=2", "batch_size=128")
VIT = ("model=vit", "model.patch=2", "model.dim=64", "model.depth=2", "model.heads=2", "epochs=2", "batch_size=128")
_COMPILING_S = 150.0  # the first compilation on a machine


@dataclass(frozen=True)
class Check:
    """A check.

    Attributes:
        overrides: of the trainings in it, after the device.
        act: carries it out and returns a note; raises `shell.Failed` or `shell.Skipped`.
        seconds: that one of its commands may take; None: as all others.
        alone: nothing else may run on the card meanwhile.
    """

    name: str
    overrides: tuple[str, ...] = ()
    act: Callable[[Shell, tuple[str, ...]], str] = acts.trained
    seconds: float | None = None
    alone: bool = False


def matrix() -> list[Check]:
    """All checks, what matters most first."""
    return [
        Check("machine", act=acts.machine, seconds=120, alone=True),
        Check("pytest -m cuda", act=acts.marked_tests, seconds=90, alone=True),
        *_arithmetic(),
        *_whole_runs(),
        *(Check(f"compression {name}", typed) for name, typed in compressions().items()),
        *(Check(f"pretraining {name}", typed) for name, typed in pretrainings().items()),
        *(Check(f"time {name}", act=partial(acts.timed, name=name), seconds=45, alone=True) for name in acts.TIMED),
    ]


def _arithmetic() -> list[Check]:
    """How a training computes."""
    more = {
        "fp32": (),
        "bf16": ("device.precision=bf16",),
        "fp16": ("device.precision=fp16", "clip_norm=1", "ema=0.9"),
        "contiguous": ("device.channels_last=false",),
        "not deterministic": ("device.deterministic=false",),
        "augmentations": ("augment=[flip_crop,cutout,mixup,cutmix]",),
        "trivialaugment": ("augment=[trivialaugment]",),
    }
    compiled = {"compile": ("device.compile=true",), "compile bf16": ("device.compile=true", "device.precision=bf16")}
    return [
        *(Check(name, (*SMALL, *typed)) for name, typed in more.items()),
        Check("vit bf16", (*VIT, "device.precision=bf16")),
        *(Check(name, (*SMALL, *typed), seconds=_COMPILING_S) for name, typed in compiled.items()),
    ]


def _whole_runs() -> list[Check]:
    """What a run does besides: repeat, resume, measure again, export, run out of memory."""
    step = ("prune=0.5", "quantize=int8")
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "1")
    return [
        Check("the same twice", (*SMALL, *step), acts.twice),
        Check("kill and resume", (*SMALL[:2], "epochs=40", "prune=0.5"), acts.resumed),
        Check("evaluate and probe", (*SMALL, "prune=0.5"), acts.measured_again),
        Check("export onnx", (*SMALL, "quantize=int8"), acts.exported),
        Check("torchrun, one process", SMALL, partial(acts.trained, before=torchrun)),
        Check("a group of one, NCCL", act=acts.reduced),
        Check("out of memory", ("model=resnet", "model.depth=56", "batch_size=1024", "epochs=1"), acts.out_of_memory),
    ]


def compressions() -> dict[str, tuple[str, ...]]:
    """Of every method what turns it on; a teacher is trained first."""
    taught = {name: ("+model@teacher=resnet",) for name, text in METHODS.items() if "{teacher}" in text}
    typed = {name: shlex.split(text.format(teacher="teacher")) for name, text in METHODS.items() if name != TEACHER}
    found = {name: (*SMALL, *words, *taught.get(name, ())) for name, words in typed.items()}
    return found | {"heads": (*VIT, "prune=0.5", "compression=[heads]")}


def pretrainings() -> dict[str, tuple[str, ...]]:
    """Of every method of pretraining what turns it on."""
    names = [name for name in option_files("pretraining", config_folder()) if name != "none"]
    models = {
        name: shlex.split(MODELS[name]) if name in MODELS else ["model=resnet", "model.depth=8"] for name in names
    }
    return {
        name: (*model, f"pretraining={name}", "pretraining.epochs=2", "epochs=1", "batch_size=128")
        for name, model in models.items()
    }
