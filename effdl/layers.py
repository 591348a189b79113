"""Which tensors of a model are its *weights*: those of convolutions, linear layers and attention projections.

Compression acts on these and `weight_sparsity` counts them; biases, norms and embeddings are neither.
"""

from collections.abc import Iterator

from torch import nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def weights(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Yield ``(layer name, module, attribute)`` of every weight tensor, in the order of ``named_modules``.

    ``getattr(module, attribute)`` is the tensor as the forward pass sees it, parametrizations applied.
    """
    for name, module in model.named_modules():
        if isinstance(module, (*CONVOLUTIONS, nn.Linear)):
            yield name, module, "weight"
        elif isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
            yield name, module, "in_proj_weight"  # out_proj is a Linear of its own
