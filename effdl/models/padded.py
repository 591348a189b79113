"""ResNets whose shortcuts append zero channels, from weights of those that put them on both sides.

He et al. 2016, option A, leaves open where the zero channels are. Here they come last. In akamaster's networks, and
those made after them, half of them come first: the same function, with the channels in another order.
"""

import torch
from torch import Tensor, nn

from effdl.models.resnet import BasicBlock, ZeroPadShortcut


def reordered(model: nn.Module, tensors: dict[str, Tensor], head: str) -> dict[str, Tensor]:
    """Tensors of a model whose shortcuts pad on both sides, in the order of channels of one whose shortcuts append.

    Args:
        model: a `effdl.models.resnet.resnet`; of others nothing is changed.
        tensors: by their names in the model; a missing one is not needed.
        head: name of the last layer.
    """
    found = dict(tensors)

    def reorder(name: str, order: Tensor, dim: int) -> None:
        if name in found:
            found[name] = found[name].index_select(dim, order)

    order = None  # of the channels after a block: that of each here has this number there
    for name, block in model.named_children():
        if not isinstance(block, BasicBlock):
            continue
        if order is not None:
            reorder(f"{name}.conv1.weight", order, 1)
        if isinstance(shortcut := block.shortcut, ZeroPadShortcut):
            first = (shortcut.outputs - shortcut.inputs) // 2
            taken = first + (torch.arange(shortcut.inputs) if order is None else order)
            zeros = [channel for channel in range(shortcut.outputs) if not 0 <= channel - first < shortcut.inputs]
            order = torch.cat([taken, torch.tensor(zeros)])
        if order is not None:
            reorder(f"{name}.conv2.weight", order, 0)
            for part in ("weight", "bias", "running_mean", "running_var"):
                reorder(f"{name}.bn2.{part}", order, 0)
    if order is not None:
        reorder(f"{head}.weight", order, 1)
    return found


def pads(model: nn.Module) -> bool:
    """Whether a model has shortcuts that append zero channels."""
    return any(isinstance(module, ZeroPadShortcut) for module in model.modules())
