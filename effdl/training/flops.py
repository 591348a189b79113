"""The floating-point operations of a training step, counted on the operations that are executed."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional as F

from effdl.measure.eval_mode import eval_mode, example_input
from effdl.nn.flops import counting
from effdl.training.objective import stacked

log = logging.getLogger(__name__)


def step_flops(
    model: nn.Module,
    losses: Iterable[nn.Module],
    input_shape: tuple[int, int, int],
    objective: nn.Module | None = None,
) -> float | None:
    """FLOPs of a training step per image, 2 for every multiply-accumulate of convolutions and matrix products.

    Counted are the forward pass, the distillation losses with the forward passes of their teachers, and the backward
    pass to all that is trained, a peer too. The usual estimate is 3 x 2 x MACs, the backward pass twice the forward
    pass (Amodei & Hernandez 2018, "AI and Compute", appendix; Kaplan et al. 2020, arXiv:2001.08361, section 2.1); it is
    a little more than what is executed, as nothing is propagated to the images. Zeros of a mask count: they are
    multiplied. Element-wise operations, the optimizer and validation do not count.

    Nothing is changed by it: no gradient, no running statistics, no random state. Of several processes all must call
    it, as losses may communicate.

    Args:
        losses: distillation losses (see `effdl.training.distillation_loss`).
        input_shape: (C, H, W).
        objective: what is minimized in place of the loss of the labels, see `effdl.training.objective`; all views of
            an image count.

    Returns:
        None if it cannot be counted, which is logged.
    """
    losses = nn.ModuleList(losses)
    whole = nn.ModuleList([model, *losses, *([objective] if objective else [])])
    count = 2 if len(whole) > 1 else 1  # relations are between images
    images = stacked(example_input(model, (count, *(objective.shape if objective else input_shape))))
    targets = torch.zeros(count, dtype=torch.int64, device=images.device)
    trained = [parameter for parameter in whole.parameters() if parameter.requires_grad]
    try:
        with (
            eval_mode(whole),
            _buffers_kept(whole),
            torch.enable_grad(),
            torch.random.fork_rng(devices=[images.device] if images.is_cuda else []),
            counting(whole) as counter,
        ):
            logits = model(images)
            loss = objective(images, targets, logits) if objective else F.cross_entropy(logits, targets)
            for distillation_loss in losses:
                loss = distillation_loss(images, targets, logits, loss)
            torch.autograd.grad(loss, trained, allow_unused=True)
    except Exception as error:  # of a model or a loss that computes in training only: no reason not to train it
        log.warning("the FLOPs of the training are not counted: %r", error)
        return None
    return counter.total / count


@contextmanager
def _buffers_kept(module: nn.Module) -> Iterator[None]:
    """Give buffers their values back, such as the running center of an objective, which knows no evaluation mode."""
    before = [buffer.clone() for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(module.buffers(), before, strict=True):
                buffer.copy_(value)
