"""Optimizers: PyTorch's own, on parameter groups that spare norms and biases the weight decay."""

from torch import nn, optim

from effdl.config.types import Fraction, NonNegative, Positive


def parameter_groups(model: nn.Module, weight_decay: float, decay_norm_bias: bool) -> list[dict]:
    """Tensors of two or more dimensions are decayed; vectors and scalars (norms, biases) only on request."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    spared = [] if decay_norm_bias else [p for p in parameters if p.ndim < 2]
    decayed = [p for p in parameters if decay_norm_bias or p.ndim >= 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def scaled_groups(groups: list[dict], factors: dict[nn.Parameter, float]) -> list[dict]:
    """Parameter groups divided by the factors on the learning rates of their parameters, which they have then.

    Args:
        factors: of some parameters; the others have 1.
    """
    of = [
        {**group, "lr": group["lr"] * factor, "params": [p for p in group["params"] if factors.get(p, 1.0) == factor]}
        for group in groups
        for factor in sorted({1.0, *factors.values()}, reverse=True)
    ]
    return [group for group in of if group["params"]]


def sgd(
    model: nn.Module,
    *,
    lr: Positive = 0.1,
    momentum: Fraction = 0.9,
    nesterov: bool = True,
    weight_decay: NonNegative = 5e-4,
    decay_norm_bias: bool = False,
) -> optim.Optimizer:
    """Stochastic gradient descent with (Nesterov) momentum (Sutskever et al. 2013)."""
    groups = parameter_groups(model, weight_decay, decay_norm_bias)
    return optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov and momentum > 0)


def adam(
    model: nn.Module,
    *,
    lr: Positive = 1e-3,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    weight_decay: NonNegative = 0.0,
    decay_norm_bias: bool = False,
) -> optim.Optimizer:
    """Adam (Kingma & Ba 2015); its weight decay is an L2 penalty."""
    return optim.Adam(parameter_groups(model, weight_decay, decay_norm_bias), lr=lr, betas=(beta1, beta2))


def adamw(
    model: nn.Module,
    *,
    lr: Positive = 1e-3,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    weight_decay: NonNegative = 0.05,
    decay_norm_bias: bool = False,
) -> optim.Optimizer:
    """AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""
    return optim.AdamW(parameter_groups(model, weight_decay, decay_norm_bias), lr=lr, betas=(beta1, beta2))


def rmsprop(
    model: nn.Module,
    *,
    lr: Positive = 1e-3,
    alpha: Fraction = 0.99,
    momentum: Fraction = 0.0,
    weight_decay: NonNegative = 0.0,
    decay_norm_bias: bool = False,
) -> optim.Optimizer:
    """RMSprop (Hinton, lecture 6e)."""
    groups = parameter_groups(model, weight_decay, decay_norm_bias)
    return optim.RMSprop(groups, lr=lr, alpha=alpha, momentum=momentum)
