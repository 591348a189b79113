"""Does an exported model do what the PyTorch model does? Compared on every image of the test split."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from effdl.deploy.onnx import Precision
from effdl.nn.quantizers import ActivationQuantizer
from effdl.utils.errors import RunError

Batches = Iterable[tuple[Tensor, Tensor]]

# Largest logit difference that is let pass, as a part of the largest absolute logit. float32 runtimes add up in
# another order; float16 keeps 11 bits, layer by layer. A quantizer turns such a difference into a whole step where a
# value lies between two codes, which the layers behind it carry on: there the bound only finds a runtime that
# computes something else (saturating sums, a wrong scale), and top-1 is what counts.
LOGITS = {"fp32": 1e-3, "fp16": 1e-1, "int8": 2.5e-1}
TOP1 = 0.005  # half a point, for all


def tolerance_of(model: nn.Module, precision: Precision) -> Precision:
    """Whose tolerance applies: the coarser arithmetic of the PyTorch model and its export."""
    if precision == "int8" or any(isinstance(module, ActivationQuantizer) for module in model.modules()):
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
    """Two models' logits (N, classes), in numbers.

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


def require_parity(comparison: dict, tolerance: Precision) -> None:
    """Refuse an export that differs from the PyTorch model by more than its arithmetic explains.

    Raises:
        RunError: says by how much.
    """
    bound = LOGITS[tolerance] * comparison["logit_max"]
    difference, top1 = comparison["logit_difference_max"], comparison["top1_difference"]
    if not math.isfinite(difference):
        raise RunError("the exported model's logits are not finite (float16 ends at 65,504: use precision=fp32)")
    if difference > bound:
        raise RunError(
            f"the exported model's logits differ by up to {difference:.3g} ({tolerance}: at most {bound:.3g})"
        )
    if abs(top1) > TOP1:
        raise RunError(
            f"the exported model's top-1 accuracy differs by {100 * top1:+.2f} points (at most {100 * TOP1})"
        )
