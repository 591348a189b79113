"""A model for whoever has pixels and wants probabilities, and what an exported file says of both."""

import json

import torch
from torch import Tensor, nn

from effdl.data.inputs import Inputs, inputs_of
from effdl.utils.errors import UserError


class WithPreprocessing(nn.Module):
    """A model between normalization and softmax: uint8 pixels (n, C, H, W), 0 to 255, to probabilities (n, classes).

    Args:
        model: gives logits of normalized images.
        dtype: that the model computes in.
    """

    def __init__(self, model: nn.Module, inputs: Inputs, dtype: torch.dtype = torch.float32):
        super().__init__()
        mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (inputs.mean, inputs.std))
        self.model, self.dtype = model, dtype
        self.register_buffer("scale", (1 / std).float())
        self.register_buffer("shift", (-mean / std).float())

    def forward(self, pixels: Tensor) -> Tensor:
        images = pixels.float() * self.scale + self.shift
        return torch.softmax(self.model(images.to(self.dtype)).float(), dim=1)


def metadata_of(inputs: Inputs, preprocessing: bool) -> dict[str, str]:
    """What an exported file says of its images and classes: the keys of a stored model's ``inputs``, values as JSON.

    Args:
        preprocessing: whether the file's graph has the normalization and the softmax.
    """
    channels, size, _ = inputs.shape
    found = {"channels": channels, "image_size": size, **inputs.described(), "preprocessing": preprocessing}
    return {key: json.dumps(value) for key, value in found.items()}


def read_metadata(metadata: dict[str, str], path: object) -> tuple[Inputs, bool]:
    """The inverse of `metadata_of`.

    Raises:
        UserError: the file was exported by an earlier version, or by something else.
    """
    try:
        found = {key: json.loads(value) for key, value in metadata.items()}
        counts = {"channels": found["channels"], "image_size": found["image_size"], "classes": len(found["classes"])}
        return inputs_of({**counts, "inputs": found}), bool(found["preprocessing"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} does not say its classes and how images are prepared for it: export it again with `effdl export`"
        ) from error
