"""What a method of pretraining would see of images, before anything is trained."""

import torch
from torch import Tensor

from effdl.data.source import Images
from effdl.data.views import augmented
from effdl.pretraining.trunk import method_of, trunk_of
from effdl.runs.prepare import prepare_run
from effdl.training.device import Device
from effdl.training.representation import drawings

_CPU = Device(torch.device("cpu"))


def pretraining_views(config: dict, images: Images, views: int | None, seed: int) -> Tensor:
    """So many views of each image as the method of a run's config makes and sees them, uint8 (N, views, C, H, W).

    Args:
        views: None: those that the method makes of a batch.
        seed: of torch's global generator, from which the method draws.

    Raises:
        UserError: the run cannot be prepared; it would be refused.
    """
    prepared = prepare_run(config)
    pretext = method_of(config["pretraining"])(prepared.model, prepared.data)
    with trunk_of(prepared.model) as trunk:
        objective = pretext.objective(trunk)
        if not hasattr(objective, "draw"):
            return augmented(images, [pretext.augment], views, seed)
        torch.manual_seed(seed)
        drawn = (drawings(trunk, objective, images, prepared.data, pretext.augment, _CPU) for _ in range(views or 1))
        return torch.cat([pictures[:, 1:2] for pictures in drawn], 1)  # as they are seen
