"""Multilayer perceptron; LeNet-300-100 by default."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from effdl.config.types import Count, Fraction, Width
from effdl.models.scaling import scaled

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def mlp(
    channels: int,
    image_size: int,
    classes: int,
    *,
    hidden: Annotated[list[Count], Field(max_length=1000)] = [300, 100],  # noqa: B006 (never written to)
    width: Width = 1.0,
    activation: Literal["relu", "gelu", "silu", "tanh", "sigmoid"] = "relu",
    batchnorm: bool = False,
    dropout: Fraction = 0.0,
) -> nn.Module:
    """Linear layers with an activation between them, on the flattened image.

    LeNet-300-100 is the MLP of LeCun et al. 1998 (section III.C) as used in pruning since Han et al. 2015:
    266,610 parameters on MNIST. ``width`` multiplies every hidden layer; ``batchnorm`` puts a batch norm before
    each ``activation``; ``dropout`` follows it.
    """
    sizes = [channels * image_size**2, *(scaled(units, width) for units in hidden)]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes):
        norm = [nn.BatchNorm1d(outputs)] if batchnorm else []
        layers += [nn.Linear(inputs, outputs), *norm, _ACTIVATIONS[activation](), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], classes))
