"""Factorizations of layers into smaller ones: their error and cost at every rank, and the layers themselves."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from effdl.compression.factorize.positions import Positions

_SWEEPS = 5  # iterations of higher-order orthogonal iteration, which starts near its fixed point


@dataclass(frozen=True)
class Factors:
    """One way to factorize a layer. There is one rank for each of `spectra`, from 1 to the length of the spectrum.

    Args:
        spectra: squared singular values of the unfolded weight as fractions of their sum (float64, 1-D, descending).
        weights: a function from the ranks (numbers or tensors) to the number of weights of each factor.
        uses: for each factor, how often each of its weights is multiplied for one image.
        build: a function from the ranks to the sequence of factors; the last one has the layer's bias.
    """

    spectra: tuple[Tensor, ...]
    weights: Callable[..., tuple]
    uses: tuple[int, ...]
    build: Callable[..., nn.Sequential]


def svd(layer: nn.Linear | nn.Conv2d, positions: Positions) -> Factors:
    """Singular value decomposition of the weight as a matrix (outputs, inputs x kernel): the nearest one of each rank.

    Linear (N, C) to (r, C) and (N, r) (Denton et al. 2014, section 3.2); convolution to one of the same kernel size
    with r outputs, and a 1x1 (the shapes of Zhang et al. 2016, "Accelerating very deep convolutional networks").
    """
    weight = _exact(layer)
    u, s, vh = torch.linalg.svd(weight.flatten(1), full_matrices=False)
    (outputs, _), (_, inputs) = u.shape, vh.shape

    def build(rank: int) -> nn.Sequential:
        root = s[:rank].sqrt()
        first = (root[:, None] * vh[:rank]).view(rank, *weight.shape[1:])
        last = (u[:, :rank] * root).view(outputs, rank, *(1 for _ in weight.shape[2:]))
        if isinstance(layer, nn.Linear):
            return nn.Sequential(_linear(layer, first), _linear(layer, last, layer.bias))
        return nn.Sequential(_convolution(layer, first, (0, 1)), _convolution(layer, last, bias=layer.bias))

    return Factors(
        (_fractions(s.square()),),
        lambda rank: (rank * inputs, rank * outputs),
        (positions.outputs, positions.outputs),
        build,
    )


def tucker(layer: nn.Conv2d, positions: Positions) -> Factors:
    """Tucker-2 decomposition of a kernel (N, C, kH, kW): 1x1 to r_in channels, kHxkW to r_out, 1x1 to N.

    Kim et al. 2016, "Compression of deep convolutional neural networks", section 3.1. Ranks are (r_out, r_in); a mode
    of full rank needs no factor (Tucker-1 in that section).
    """
    kernel = _exact(layer)
    outputs, inputs, *window = kernel.shape
    area = window[0] * window[1]

    def build(rank_out: int, rank_in: int) -> nn.Sequential:
        u, core, v = tucker2(kernel, rank_out, rank_in)
        before = [(v.T[:, :, None, None], ())] if rank_in < inputs else []
        after = [(u[:, :, None, None], ())] if rank_out < outputs else []
        kernels = [*before, (core, (0, 1)), *after]
        biases = [*(None for _ in kernels[1:]), layer.bias]
        parts = zip(kernels, biases, strict=True)
        return nn.Sequential(*(_convolution(layer, part, axes, bias) for (part, axes), bias in parts))

    return Factors(
        tuple(_fractions(_spectrum(kernel.transpose(0, mode).flatten(1))[0]) for mode in (0, 1)),
        lambda rank_out, rank_in: (
            rank_in * inputs * (rank_in < inputs),
            rank_out * rank_in * area,
            rank_out * outputs * (rank_out < outputs),
        ),
        (positions.inputs, positions.outputs, positions.outputs),
        build,
    )


def spatial(layer: nn.Conv2d, positions: Positions) -> Factors:
    """A kHxkW convolution as kHx1 with r outputs and 1xkW, the nearest ones of that rank to the kernel (N, C, kH, kW).

    Jaderberg et al. 2014, scheme 2; the solution by SVD is in Tai et al. 2016, "CNNs with low-rank regularization".
    """
    kernel = _exact(layer)
    outputs, inputs, height, width = kernel.shape
    u, s, vh = torch.linalg.svd(kernel.permute(1, 2, 0, 3).reshape(inputs * height, outputs * width), False)

    def build(rank: int) -> nn.Sequential:
        root = s[:rank].sqrt()
        columns = (u[:, :rank] * root).T.view(rank, inputs, height, 1)
        rows = (root[:, None] * vh[:rank]).view(rank, outputs, 1, width).transpose(0, 1)
        return nn.Sequential(_convolution(layer, columns, (0,)), _convolution(layer, rows, (1,), layer.bias))

    return Factors(
        (_fractions(s.square()),),
        lambda rank: (rank * inputs * height, rank * outputs * width),
        (positions.between, positions.outputs),
        build,
    )


def tucker2(kernel: Tensor, rank_out: int, rank_in: int) -> tuple[Tensor, Tensor, Tensor]:
    """Orthonormal u (N, r_out) and v (C, r_in) and the core (r_out, r_in, kH, kW) of a kernel (N, C, kH, kW).

    The basis of a mode of full rank is the identity.

    Higher-order orthogonal iteration from the truncated higher-order SVD (De Lathauwer et al. 2000, "On the best
    rank-1 and rank-(R1, ..., RN) approximation of higher-order tensors", algorithm 4.2).
    """
    v = _basis(kernel.transpose(0, 1), rank_in)
    for _ in range(_SWEEPS):
        u = _basis(torch.einsum("nchw,ci->nihw", kernel, v), rank_out)
        v = _basis(torch.einsum("nchw,no->cohw", kernel, u), rank_in)
    return u, torch.einsum("nchw,no,ci->oihw", kernel, u, v), v


def _basis(tensor: Tensor, rank: int) -> Tensor:
    """Leading left singular vectors (rows, rank) of a tensor unfolded along mode 1; the identity at full rank."""
    if rank == len(tensor):
        return torch.eye(rank, dtype=tensor.dtype)
    return _spectrum(tensor.flatten(1))[1][:, :rank]


def _spectrum(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Squared singular values of a matrix (rows, columns), descending, and its left singular vectors as columns."""
    values, vectors = torch.linalg.eigh(matrix @ matrix.T)
    return values.flip(0).clamp(min=0), vectors.flip(1)


def _fractions(values: Tensor) -> Tensor:
    """Values divided by their sum; zeros if all values are zero."""
    return values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)


def _exact(layer: nn.Module) -> Tensor:
    """The weight as float64 on the CPU, so that the factors do not depend on the device of the model."""
    weight = layer.weight.detach()
    return weight.double() if weight.is_meta else weight.to("cpu", torch.float64)


def _linear(layer: nn.Linear, weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """A linear layer with this weight (outputs, inputs)."""
    with torch.device("meta"):  # leaves the state of the random generators as it is
        new = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    return _filled(new, layer, weight, bias)


def _convolution(layer: nn.Conv2d, kernel: Tensor, axes: tuple[int, ...] = (), bias: Tensor | None = None) -> nn.Conv2d:
    """A convolution with this kernel, and along `axes` (0: height, 1: width) the layer's stride, padding, dilation."""

    def along(values: tuple[int, int], neutral: int) -> tuple[int, ...]:
        return tuple(values[axis] if axis in axes else neutral for axis in (0, 1))

    with torch.device("meta"):
        new = nn.Conv2d(
            kernel.shape[1],
            kernel.shape[0],
            tuple(kernel.shape[2:]),
            along(layer.stride, 1),
            layer.padding if isinstance(layer.padding, str) else along(layer.padding, 0),
            along(layer.dilation, 1),
            bias=bias is not None,
            padding_mode=layer.padding_mode,
        )
    return _filled(new, layer, kernel, bias)


def _filled(new: nn.Module, layer: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Set the weight and bias of a new layer, with the device, dtype and memory format of the layer it replaces."""
    last = layer.weight.dim() == 4 and layer.weight.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last and not layer.weight.is_contiguous() else torch.contiguous_format
    new.weight = nn.Parameter(weight.to(layer.weight).contiguous(memory_format=layout))
    if bias is not None:
        new.bias = nn.Parameter(bias.detach().clone())
    return new.train(layer.training)
