"""Batch norm of features that are the last dimension, as linear layers have them."""

from torch import Tensor, nn


class TokenNorm(nn.Module):
    """Batch norm of each feature of (..., features) over all other dimensions, tokens as well as images."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features, self.norm = num_features, nn.BatchNorm1d(num_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.flatten(0, -2)).view(x.shape)
