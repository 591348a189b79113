"""Binary weights, -1 or 1.

Courbariaux, Bengio & David 2015, "BinaryConnect: Training Deep Neural Networks with binary weights during
propagations".
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim.swa_utils import update_bn

from effdl.compression.method import compression_method
from effdl.config.types import Natural, Positive
from effdl.nn.fake_quant import QuantGrid, scale_gradient
from effdl.nn.layers import weights
from effdl.nn.mask import under_mask
from effdl.training.trainer import Trainer
from effdl.utils.errors import UserError

_STATISTICS_IMAGES, _STATISTICS_BATCH = 1024, 128  # for the statistics of batch norms


def check_layers(model: nn.Module, first_last: bool) -> None:
    """Check that the model has a layer to quantize.

    Raises:
        UserError: it has none.
    """
    if not inner_weights(model, first_last):
        raise UserError(f"first_last={str(first_last).lower()}: this leaves no layer of the model to quantize")


def quantize_weights(model: nn.Module, first_last: bool, quantizer: Callable[[Tensor], nn.Module]) -> None:
    """Put a parametrization on each weight; in place.

    Args:
        first_last: whether the first and the last layer are quantized, too.
        quantizer: returns the parametrization for a weight.

    Raises:
        UserError: the model has no layer to quantize.
    """
    check_layers(model, first_last)
    for module, name in inner_weights(model, first_last):
        parametrize.register_parametrization(module, name, quantizer(getattr(module, name)))


def train_quantized(model: nn.Module, trainer: Trainer, epochs: int | None, lr_scale: float) -> nn.Module:
    """Train on with quantized weights.

    Args:
        epochs: number of epochs of training; None: half as many as the run has.
        lr_scale: factor on the run's learning rate.
    """
    model = trainer.fit(model, epochs=epochs, lr_scale=lr_scale)
    return renew_statistics(model, trainer) if trainer.recipe.ema else model


@compression_method("values", check_layers)
def binary(
    model: nn.Module,
    trainer: Trainer,
    *,
    level: Literal["binary"],
    stochastic: bool,
    first_last: bool,
    epochs: Natural | None,
    lr_scale: Positive,
) -> nn.Module:
    """Binarize weights in every forward pass of a training that moves real-valued master weights in [-1, 1].

    The master weights are initialized with the trained weights, divided by their mean magnitude. The method suits
    layers whose outputs are normalized, which need no scale. Their batch norms take the statistics of the new scale
    before the training, since those with a low momentum (MNASNet's has 0.0003) would not reach them in it.

    Args:
        level: the only level is "binary".
        stochastic: whether each weight is drawn in training, 1 with the probability of its `hard_sigmoid`. After the
            training the weights are the signs, unlike in section 2.6, so that they have one bit; the statistics of
            batch norms are then computed again with these weights.
        first_last: whether the first and the last layer are binarized, too.
        epochs: number of epochs of training; None: as many as the run has.
        lr_scale: factor on the run's learning rate.

    Raises:
        UserError: the model has no layer to binarize.
    """
    check_layers(model, first_last)
    for module, name in inner_weights(model, first_last):
        to_master(under_mask(module, name), getattr(module, name))
        binarizer = Binary(stochastic, lr_factor(getattr(module, name), getattr(module, "groups", 1)))
        parametrize.register_parametrization(module, name, binarizer)
    model = trainer.fit(
        renew_statistics(model, trainer),
        epochs=trainer.recipe.epochs if epochs is None else epochs,
        lr_scale=lr_scale,
        after_update=_clip_masters,
    )
    for module in model.modules():
        if isinstance(module, Binary):
            module.stochastic = False
    return renew_statistics(model, trainer) if stochastic or trainer.recipe.ema else model


def renew_statistics(model: nn.Module, trainer: Trainer) -> nn.Module:
    """Compute the statistics of all batch norms again, on calibration batches; in place.

    They are those of other weights: of another scale before the training, and after it if signs were drawn in it or
    are now those of averaged weights.
    """
    batches = trainer.calibration_batches(_STATISTICS_IMAGES, _STATISTICS_BATCH)
    update_bn([batch for batch in batches if len(batch[1]) == len(batches[0][1])], model)
    return model


class Binary(nn.Module):
    """Parametrization that replaces weights by their sign, with the gradient of the identity; zeros stay zero.

    Args:
        stochastic: whether the sign is drawn in training, 1 with the probability of the weight's `hard_sigmoid`.
        factor: factor on the gradient.
    """

    def __init__(self, stochastic: bool, factor: float = 1.0) -> None:
        super().__init__()
        self.stochastic, self.factor = stochastic, factor

    def forward(self, weight: Tensor) -> Tensor:
        draw = self.stochastic and self.training
        positive = torch.rand_like(weight) < hard_sigmoid(weight) if draw else weight >= 0
        through = scale_gradient(weight, self.factor)
        return signs(weight, positive) + (through - through.detach())  # the difference is zero, and has the gradient

    def grid(self) -> QuantGrid:
        """The integer grid of the weights: one bit, and the scale 1."""
        return QuantGrid(torch.ones(()), 1)


def signs(weight: Tensor, positive: Tensor) -> Tensor:
    """1 where `positive` (bool), else -1, but 0 where the weight is exactly zero (masked)."""
    return torch.where(weight == 0, 0.0, torch.where(positive, 1.0, -1.0)).to(weight.dtype)


def hard_sigmoid(x: Tensor) -> Tensor:
    """``clip((x + 1) / 2, 0, 1)`` (equation 3)."""
    return ((x + 1) / 2).clamp(0, 1)


@torch.no_grad()
def to_master(stored: Tensor, weight: Tensor) -> None:
    """Divide the stored weight by the mean magnitude of the non-zero elements of `weight`, and clip it; in place."""
    mean = weight.abs().sum() / torch.count_nonzero(weight).clamp(min=1)
    stored.div_(mean if mean > 0 else 1.0).clamp_(-1, 1)


def _clip_masters(model: nn.Module, progress: float) -> None:
    """Clip the master weights to [-1, 1] (section 2.4, algorithm 1); called after every update."""
    for module in model.modules():
        if parametrize.is_parametrized(module):
            for steps in module.parametrizations.values():
                if any(isinstance(step, Binary) for step in steps):
                    steps.original.clamp_(-1, 1)


def lr_factor(weight: Tensor, groups: int = 1) -> float:
    """1 over the square of Glorot's initialization coefficient, by which section 2.5 multiplies the learning rate of
    SGD: (fan in + fan out) / 1.5. Optimizers that normalize gradients, such as Adam, are not affected.

    Args:
        weight: (outputs, inputs/groups, ...).
    """
    window = math.prod(weight.shape[2:])
    return (weight[0].numel() + weight.shape[0] * window // groups) / 1.5


def inner_weights(model: nn.Module, first_last: bool) -> list[tuple[nn.Module, str]]:
    """Module and attribute of every weight, or of all but the first and the last."""
    found = [(module, name) for _, module, name in weights(model)]
    return found if first_last else found[1:-1]
