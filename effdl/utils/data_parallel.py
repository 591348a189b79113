"""Data-parallel training that computes what one process would compute with the whole batch.

Every process draws the same random numbers for the whole batch and keeps its part of the results. Operations on all
images of a batch (batch norm, a loss over pairs of images) are computed over the parts of all processes. Gradients are
averaged by PyTorch's DistributedDataParallel (Li et al. 2020, "PyTorch Distributed"). In a group of one process the
functions return their arguments.
"""

import warnings
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode

from effdl.utils.distributed import rank, world_size
from effdl.utils.errors import UserError


def check_shares(batch_size: int, images: int, key: str = "batch_size") -> None:
    """Check that every batch can be divided equally among the processes.

    Raises:
        UserError: it cannot.
    """
    batch = min(batch_size, images)
    if batch % world_size():
        raise UserError(
            f"{key}={batch_size}: batches of {batch} images cannot be shared by {world_size()} processes"
            f" (allowed: a multiple of {world_size()})"
        )


def share(whole: Tensor) -> Tensor:
    """This process's part of a batch (n, ...): (n / processes, ...)."""
    return whole if world_size() == 1 else whole.chunk(world_size())[rank()]


def gather(part: Tensor) -> Tensor:
    """Concatenate the parts (n, ...) of all processes to (n x processes, ...). Every part gets its gradient."""
    return part if world_size() == 1 else _Gather.apply(part)


class _Gather(torch.autograd.Function):
    """The concatenated parts of all processes, by rank."""

    @staticmethod
    def forward(ctx, part: Tensor) -> Tensor:
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(world_size())]
        distributed.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(gradient)  # the loss of each process depends on all parts
        return share(gradient)


def mean(value: Tensor) -> Tensor:
    """The mean over the processes."""
    return value if world_size() == 1 else gather(value[None]).mean(0)


def replicated(module: nn.Module) -> nn.Module:
    """A module with the weights of the first process and with gradients averaged over all processes.

    Running statistics need no broadcast: they come from the whole batch and are the same everywhere.
    """
    if world_size() == 1 or not any(parameter.requires_grad for parameter in module.parameters()):
        return module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the option's new name is not known to older versions
        return DistributedDataParallel(module, broadcast_buffers=False)


@torch.no_grad()
def unified(module: nn.Module) -> nn.Module:
    """A module with the weights of the first process, bit for bit; in place."""
    if world_size() > 1:
        for tensor in module.state_dict().values():
            first = tensor.contiguous()
            distributed.broadcast(first, 0)
            tensor.copy_(first)
    return module


def sync_batch_statistics() -> AbstractContextManager:
    """A context in which batch norm and dropout treat the images of this process as a part of the whole batch."""
    return _SyncBatchStatistics() if world_size() > 1 else nullcontext()


class _SyncBatchStatistics(TorchFunctionMode):
    """Replaces the functions batch_norm and dropout in training, whichever module calls them."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return _REPLACED.get(function, function)(*args, **(kwargs or {}))


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm`, in training with the statistics of all processes' parts.

    PyTorch's SyncBatchNorm does the same, but only on GPUs, and is another type of module.
    """
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    dims, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
    means, variances = gather(torch.stack(torch.var_mean(x.float(), dims, correction=0)[::-1])[None]).unbind(1)
    mean, var = means.mean(0), variances.mean(0) + means.var(0, correction=0)
    if running_mean is not None:
        count = world_size() * x.numel() // x.shape[1]
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((var * count / (count - 1)).to(running_var.dtype), momentum)
    scale = (var + eps).rsqrt() if weight is None else (var + eps).rsqrt() * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    return (x * scale.view(shape) + shift.view(shape)).to(x.dtype)


def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`torch.nn.functional.dropout`, drawn for the whole batch, so that no two images get the same draw."""
    if not training or p == 0:
        return F.dropout(x, p, training, inplace)
    return x * share(F.dropout(torch.cat([torch.ones_like(x)] * world_size()), p))


_REPLACED = {F.batch_norm: batch_norm, F.dropout: dropout}
