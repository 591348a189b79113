"""Whether embeddings tell images apart, without labels: what is close to 0, or 1 dimension, has collapsed."""

import torch
from torch import Tensor
from torch.nn import functional as F

# A spread (`embedding_std` x sqrt(d)) and a rank below which all embeddings are practically the same.
_LEAST_SPREAD, _LEAST_RANK = 0.05, 2.5


def embedding_std(embeddings: Tensor) -> float:
    """Mean over the dimensions of the standard deviation of l2-normalized embeddings (n, d).

    It is 0 if all embeddings have one direction, and 1/sqrt(d) if the directions are uniform (Chen & He 2021,
    "Exploring Simple Siamese Representation Learning", section 4.1).
    """
    return F.normalize(embeddings.float()).std(0, correction=0).mean().item()


def effective_rank(embeddings: Tensor) -> float:
    """exp of the entropy of the normalized singular values of embeddings (n, d): from 1 to min(n, d).

    Roy & Vetterli 2007, "The effective rank"; as a measure of pretraining Garrido et al. 2023, "RankMe".
    """
    z = embeddings.cpu().double()
    values = (
        torch.linalg.eigvalsh(z.T @ z if len(z) > z.shape[1] else z @ z.T).clamp_min(0).sqrt()
    )  # faster than an SVD
    parts = values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    return torch.special.entr(parts).sum().exp().item()


def has_collapsed(std: float, rank: float, dimensions: int) -> bool:
    """Whether embeddings of so many dimensions are practically the same for all images."""
    return std * dimensions**0.5 < _LEAST_SPREAD or rank < _LEAST_RANK
