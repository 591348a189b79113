"""Where a run computes, and in which arithmetic."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from effdl.distributed import Group, threads, world_size
from effdl.errors import UserError
from effdl.seeding import make_deterministic

AMP = {"bf16": torch.bfloat16, "fp16": torch.float16}
DEFAULT_THREADS = torch.get_num_threads()


@dataclass(frozen=True)
class Place:
    """Where and in which arithmetic to train."""

    device: torch.device
    precision: str = "fp32"
    channels_last: bool = False
    compile: bool = False

    def autocast(self) -> AbstractContextManager:
        """Mixed precision, if asked for (Micikevicius et al. 2018)."""
        return torch.autocast(self.device.type, AMP[self.precision]) if self.precision in AMP else nullcontext()

    def put(self, model: nn.Module) -> nn.Module:
        """Move a model here."""
        return model.to(self.device, memory_format=torch.channels_last if self.channels_last else torch.preserve_format)


def choose_place(device: dict) -> Place:
    """The device of a config, with threads and determinism set for this process.

    Raises:
        UserError: the device is not there.
    """
    mps = torch.backends.mps.is_available() and world_size() == 1  # processes cannot exchange its tensors
    there = {"cuda": torch.cuda.is_available(), "mps": mps, "cpu": True}
    name = device["name"] if device["name"] != "auto" else next(name for name, found in there.items() if found)
    if not there[name]:
        raise UserError(
            f"device={name}: there is none here (found: {', '.join(n for n, found in there.items() if found)})"
        )
    if world_size() > 1 and device["compile"]:
        raise UserError(f"device.compile=true: not with {world_size()} processes")
    # An earlier run of a sweep may have set another number.
    torch.set_num_threads(device["threads"] or (threads() if world_size() > 1 else DEFAULT_THREADS))
    make_deterministic(device["deterministic"])
    # On CPUs no model here trains slower so, most train faster: see scripts/benchmark_layout.py.
    channels_last = name != "mps" if device["channels_last"] is None else device["channels_last"]
    return Place(own_device(name), device["precision"], channels_last, device["compile"])


def own_device(name: str) -> torch.device:
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
