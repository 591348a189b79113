"""Where a run computes, and in which arithmetic."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from effdl.config.schema import OPENED_THREADS
from effdl.utils.distributed import Group, threads, world_size
from effdl.utils.errors import UserError
from effdl.utils.heap import keep_freed_memory
from effdl.utils.seeding import make_deterministic

_AMP = {"bf16": torch.bfloat16, "fp16": torch.float16}
DEFAULT_THREADS = torch.get_num_threads()


@dataclass(frozen=True)
class Device:
    """A device of PyTorch's, and how models are trained on it.

    Args:
        torch_device: this process's device.
        precision: ``fp32``, or ``bf16`` or ``fp16`` for mixed precision.
        channels_last: memory layout of convolutions.
        compile: train what `torch.compile` makes of the model.
        runtime: in which float models are timed, see `effdl.deploy.latency.as_deployed`.
    """

    torch_device: torch.device
    precision: str = "fp32"
    channels_last: bool = False
    compile: bool = False
    runtime: str = "eager"

    def autocast(self) -> AbstractContextManager:
        """Mixed precision, if asked for (Micikevicius et al. 2018)."""
        mixed = self.precision in _AMP
        return torch.autocast(self.torch_device.type, _AMP[self.precision]) if mixed else nullcontext()

    def move(self, model: nn.Module) -> nn.Module:
        """Move a model to the device, in its memory layout."""
        layout = torch.channels_last if self.channels_last else torch.preserve_format
        return model.to(self.torch_device, memory_format=layout)


def select_device(settings: dict) -> Device:
    """The device of a config's ``device`` node, with threads, determinism and the heap's limits set for this process.

    Raises:
        UserError: the device is not there.
    """
    mps = torch.backends.mps.is_available() and world_size() == 1  # processes cannot exchange its tensors
    there = {"cuda": torch.cuda.is_available(), "mps": mps, "cpu": True}
    name = settings["name"] if settings["name"] != "auto" else next(name for name, found in there.items() if found)
    if not there[name]:
        raise UserError(
            f"device={name}: there is none here (found: {', '.join(n for n, found in there.items() if found)})"
        )
    if world_size() > 1 and settings["compile"]:
        raise UserError(f"device.compile=true: not with {world_size()} processes")
    # An earlier run of a sweep may have set another number.
    number = settings["threads"] or (threads() if world_size() > 1 else DEFAULT_THREADS)
    torch.set_num_threads(min(number, OPENED_THREADS))
    keep_freed_memory()
    make_deterministic(settings["deterministic"], compiled=settings["compile"])
    # On CPUs no model here trains slower so, most train faster: see scripts/benchmark_layout.py.
    channels_last = name != "mps" if settings["channels_last"] is None else settings["channels_last"]
    return Device(_own_device(name), settings["precision"], channels_last, settings["compile"], settings["runtime"])


def _own_device(name: str) -> torch.device:
    """The device of this process: of several on a machine, each has a GPU of its own.

    Raises:
        UserError: there are too few.
    """
    if name != "cuda" or world_size() == 1:
        return torch.device(name)
    if Group.local_size > torch.cuda.device_count():
        raise UserError(
            f"device=cuda: {Group.local_size} processes need as many GPUs, here are {torch.cuda.device_count()}"
            " (allowed: torchrun --nproc-per-node with their number, or device=cpu)"
        )
    torch.cuda.set_device(Group.local_rank)
    return torch.device("cuda", Group.local_rank)
