"""Gradients of the loss with respect to the weights as the forward pass sees them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from effdl.nn.layers import weights


def weight_gradients(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """All conv and linear weights and, in the same order, the gradient of the mean cross entropy of a batch.

    They are computed in eval mode; neither the model nor its gradients change.

    Args:
        images: normalized images (n, C, H, W).
        labels: class indices (n,).
    """
    training = model.training
    model.eval()
    with torch.enable_grad(), parametrize.cached():  # cached: the tensors are those that the forward pass reads
        tensors = [getattr(module, name) for _, module, name in weights(model)]
        loss = F.cross_entropy(model(images), labels)
        gradients = torch.autograd.grad(loss, tensors, materialize_grads=True)
    model.train(training)
    return [tensor.detach() for tensor in tensors], list(gradients)
