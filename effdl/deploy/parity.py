"""Comparison of an exported model with the PyTorch model on every image of the test split."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from effdl.deploy.onnx import Precision
from effdl.nn.quantizers import activation_quantizers
from effdl.utils.errors import RunError

Batches = Iterable[tuple[Tensor, Tensor]]

# Largest allowed difference of logits, relative to the largest absolute logit. float32 runtimes sum in another order;
# float16 rounds to 11 bits in every layer. A quantizer turns such a difference into a whole step where a value lies
# between two codes, and later layers propagate it: there the bound only detects a runtime that computes something
# else (saturating sums, a wrong scale), and top-1 is the actual test.
_LOGITS = {"fp32": 1e-3, "fp16": 1e-1, "int8": 2.5e-1}
_TOP1 = 0.005  # largest allowed difference of top-1 accuracy in any precision: half a point


def tolerance_of(model: nn.Module, precision: Precision) -> Precision:
    """The precision whose tolerance applies: the coarser one of the PyTorch model and its export."""
    if precision == "int8" or any(activation_quantizers(model)):
        return "int8"
    half = any(parameter.dtype in (torch.float16, torch.bfloat16) for parameter in model.parameters())
    return "fp16" if half else precision


@torch.inference_mode()
def torch_logits(model: nn.Module, batches: Batches) -> Tensor:
    """Logits (N, classes) in float32 of a PyTorch model, in its own dtype."""
    like = next(model.parameters())
    return torch.cat([model(images.to(like.device, like.dtype)).float().cpu() for images, _ in batches])


@torch.inference_mode()
def program_logits(forward: Callable[[Tensor], Tensor], batches: Batches, one_by_one: bool = False) -> Tensor:
    """Logits (N, classes) of a function of images (n, C, H, W); with `one_by_one` it only takes (1, C, H, W)."""
    parts = (part for images, _ in batches for part in (images.split(1) if one_by_one else [images]))
    return torch.cat([forward(part.cpu()).clone() for part in parts])


def compare(expected: Tensor, exported: Tensor, labels: Tensor) -> dict:
    """Compare the logits (N, classes) of two models.

    Returns:
        ``top1`` of the export, ``top1_pytorch``, ``top1_difference`` (export minus PyTorch),
        ``logit_difference_max`` (absolute), ``logit_max`` (largest absolute logit in PyTorch), ``argmax_agreement``
        (fraction of images with the same answer) and ``images``.
    """
    answers, before = exported.argmax(1), expected.argmax(1)
    count = len(labels)
    top1, top1_pytorch = ((found == labels).sum().item() / count for found in (answers, before))
    return {
        "top1": top1,
        "top1_pytorch": top1_pytorch,
        "top1_difference": top1 - top1_pytorch,
        "logit_difference_max": (exported - expected).abs().max().item(),
        "logit_max": expected.abs().max().item(),
        "argmax_agreement": (answers == before).sum().item() / count,
        "images": count,
    }


def of_probabilities(comparison: dict) -> dict:
    """The result of `compare` for models that give probabilities instead of logits, by keys that say so."""
    kept = {key: value for key, value in comparison.items() if not key.startswith("logit_")}
    return {**kept, "probability_difference_max": comparison["logit_difference_max"]}


def require_parity(comparison: dict, tolerance: Precision) -> None:
    """Check that an export differs from the PyTorch model by no more than its arithmetic explains.

    Raises:
        RunError: it differs by more; the message has the difference.
    """
    bound = _LOGITS[tolerance] * comparison["logit_max"]
    difference, top1 = comparison["logit_difference_max"], comparison["top1_difference"]
    if not math.isfinite(difference):
        raise RunError("the exported model's logits are not finite (float16 ends at 65,504: use precision=fp32)")
    if difference > bound:
        raise RunError(
            f"the exported model's logits differ by up to {difference:.3g} ({tolerance}: at most {bound:.3g})"
        )
    if abs(top1) > _TOP1:
        raise RunError(
            f"the exported model's top-1 accuracy differs by {100 * top1:+.2f} points (at most {100 * _TOP1})"
        )
