"""A linear classifier on fixed features: how much of the classes they tell without any training of the network."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
_STEPS = 100


@dataclass(frozen=True)
class _LinearProbe:
    """Logistic regression on standardized features.

    Args:
        weight: (classes, D).
        bias: (classes,).
        mean, std: of the training features, (D,).
        penalty: the factor of ||weight||^2 / 2 in its loss.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    std: Tensor
    penalty: float

    def logits(self, features: Tensor) -> Tensor:
        """(n, classes) of features (n, D)."""
        return F.linear((features.float() - self.mean) / self.std, self.weight, self.bias)

    def accuracy(self, features: Tensor, labels: Tensor) -> float:
        """Top-1 of features (n, D) with labels (n,), 0 to 1."""
        return float((self.logits(features).argmax(1) == labels).double().mean())


def linear_probe(
    features: Tensor,
    labels: Tensor,
    val_features: Tensor,
    val_labels: Tensor,
    penalties: tuple[float, ...] = _PENALTIES,
) -> _LinearProbe:
    """The multinomial logistic regression whose penalty suits the validation features best; of equals the larger one.

    Mean cross entropy plus penalty x ||weight||^2 / 2, minimized by L-BFGS from the solution of the next larger
    penalty, after Kornblith et al. 2019, "Do better ImageNet models transfer better?", appendix A.4.

    Args:
        features: float (N, D); those that do not vary count as zero.
        labels: int64 (N,), from 0.
        penalties: the largest first.
    """
    std, mean = torch.std_mean(features.float(), 0, correction=0)
    std = torch.where(std > 1e-6 * mean.abs().clamp(min=1e-6), std, torch.inf)
    classes = int(max(labels.max(), val_labels.max())) + 1
    weight = nn.Parameter(features.new_zeros(classes, features.shape[1], dtype=torch.float32))
    bias = nn.Parameter(features.new_zeros(classes, dtype=torch.float32))
    standardized, best, highest = (features.float() - mean) / std, None, -1.0
    for penalty in penalties:
        _minimize(weight, bias, standardized, labels, penalty)
        probe = _LinearProbe(weight.detach().clone(), bias.detach().clone(), mean, std, penalty)
        if (found := probe.accuracy(val_features, val_labels)) > highest:
            best, highest = probe, found
    return best


def _minimize(weight: nn.Parameter, bias: nn.Parameter, features: Tensor, labels: Tensor, penalty: float) -> None:
    """Move the parameters to the minimum of the loss."""
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(F.linear(features, weight, bias), labels) + penalty / 2 * weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
