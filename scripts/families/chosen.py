"""Which model stands for each family: for every module of models the one with the fewest parameters."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

FAMILIES = Path(__file__).parent / "models.json"
_HUGE = 1e8  # parameters; families without a smaller model are left out


def families(only: str = "") -> dict[str, str]:
    """The model of each family, by the names of library and family."""
    return {key: name for key, name in json.loads(FAMILIES.read_text()).items() if re.search(only, f"{key} {name}")}


def choose() -> None:
    """For every module of timm and torchvision the model with the fewest parameters, unless they are _HUGE."""
    import timm
    import torch
    from torchvision import models

    def parameters(make: Callable) -> int:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in make().parameters())

    sizes: dict[str, dict[str, int]] = {}
    for module in timm.list_modules():
        for name in timm.list_models(module=module, exclude_filters="test_*"):
            try:
                sizes.setdefault(f"timm {module}", {})[name] = parameters(partial(timm.create_model, name))
            except Exception as error:  # needs values of its own tensors, or another package
                print(f"{name}: {error!r}"[:160])
    for name in models.list_models(module=models):
        family = models.get_model_builder(name).__module__.rpartition(".")[2]
        sizes.setdefault(f"torchvision {family}", {})[name] = models.get_model_weights(name).DEFAULT.meta["num_params"]
    least = sorted((min(size.values()), family, min(size, key=size.get)) for family, size in sizes.items())
    found = {family: name for count, family, name in least if count < _HUGE}
    FAMILIES.write_text(json.dumps(found, indent=2) + "\n")
