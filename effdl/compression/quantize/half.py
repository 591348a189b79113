"""Conversion to 16-bit floating-point numbers."""

from typing import Literal

import torch
from torch import nn

from effdl.compression.method import compression_method
from effdl.measure.eval_mode import eval_mode
from effdl.training.trainer import Trainer
from effdl.utils.errors import UserError

_IMAGES = 500  # training images on which activations are tried
_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


@compression_method("conversion")
def half(model: nn.Module, trainer: Trainer, *, level: Literal["fp16", "bf16"]) -> nn.Module:
    """Convert all parameters and buffers, and thereby all computation, to 16 bits, rounding to nearest.

    Args:
        level: IEEE half precision (fp16: 11 significant bits, up to 65,504) or bfloat16 (8 bits, the range of float32).

    Raises:
        UserError: a weight, or an activation of a training image, is beyond the range of the format.
    """
    model = model.to(_DTYPES[level])
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"quantize={level}: {name} has values beyond its range; allowed here is bf16")
    with eval_mode(model):
        batches = trainer.calibration_batches(_IMAGES)
        finite = all(model(images.to(_DTYPES[level])).isfinite().all() for images, _ in batches)
    if not finite:
        raise UserError(
            f"quantize={level}: the logits of training images are not finite: activations exceed"
            f" {torch.finfo(_DTYPES[level]).max:.6g}; allowed here is bf16"
        )
    return model
