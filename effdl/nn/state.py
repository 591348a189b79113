"""Loading of tensors into a model that has the same tensors."""

from collections import OrderedDict

from torch import Tensor, nn


def load_state(model: nn.Module, tensors: dict[str, Tensor], *, strict: bool = True, assign: bool = False) -> None:
    """Load tensors with the names and shapes that the model's own state dict has.

    They are then laid out as the model's modules lay theirs out now. A plain dict does not say so, and modules whose
    layout has changed once (torchvision's MNASNet) refuse tensors without a version.

    Args:
        strict, assign: as of ``nn.Module.load_state_dict``.
    """
    state = OrderedDict(tensors)
    state._metadata = model.state_dict()._metadata
    model.load_state_dict(state, strict=strict, assign=assign)
