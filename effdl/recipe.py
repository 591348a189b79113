"""How, where and in which arithmetic a model is trained: plain values, fixed for one training."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

AMP = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Recipe:
    """How to train. `lr_scale` multiplies the optimizer's learning rate, for fine-tuning."""

    epochs: int
    batch_size: int
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    schedule: Callable[..., float]
    augment: tuple[Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], ...] = ()
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    ema: float | None = None
    early_stop: int | None = None
    eval_batch_size: int = 250
    lr_scale: float = 1.0


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
