"""What helps against a loss that is not finite."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from effdl.measure.eval_mode import eval_mode

SLOWER = "lower optimizer.lr, or set clip_norm or warm-up"
_FP16_MAX = f"{torch.finfo(torch.float16).max:,.0f}"


def remedy(model: nn.Module, precision: str, loss: Callable[[], Tensor]) -> str:
    """What to do about a training whose loss is not finite, as words behind a colon.

    Loss scaling skips the updates that an overflow of fp16 would spoil, so the weights stay as they were: if the same
    loss is finite in fp32, it is fp16 that overflowed.

    Args:
        precision: the training's, see `Device`.
        loss: computes the loss of the last batch in fp32.
    """
    if precision == "fp16":
        with eval_mode(model):
            exact = loss().item()
        if torch.tensor(exact).isfinite():
            return (
                f"an overflow of fp16, which ends at {_FP16_MAX} (in fp32 the loss of this batch is {exact:.4g});"
                f" set device.precision=bf16, or {SLOWER}"
            )
    return SLOWER
