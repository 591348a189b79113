"""Build a model from its config, and check that it takes the images of the data set."""

import inspect
import logging
from collections.abc import Callable

import torch
from torch import nn

from effdl.config.identity import is_shipped, node_by_target
from effdl.config.instantiate import locate
from effdl.config.naming import option_name
from effdl.config.schema import SHARED
from effdl.config.validation import check_call
from effdl.models.weights import load_weights
from effdl.utils.errors import UserError

log = logging.getLogger(__name__)


def build(config: dict, channels: int, image_size: int, classes: int, *, trusted: bool = True) -> nn.Module:
    """The model of a config's node for (N, channels, image_size, image_size) images and (N, classes) logits.

    Args:
        config: the function or class, its keys, and ``weights``: None, "pretrained" (models of other libraries) or a
            path (see `load_weights`). A function is given those of ``channels``, ``image_size`` and ``classes`` that
            it has parameters for.
        trusted: False for configs that come out of a file: only families of this package are made, and no weights
            are loaded.

    Returns:
        The model in train mode.

    Raises:
        UserError: the config names something else, or the model does not fit the images and classes.
    """
    config = node_by_target("model", config)
    family = locate(config["_target_"]) if trusted else _shipped_family(config)
    options = {key: value for key, value in config.items() if key not in ("_target_", "weights")}
    weights = config.get("weights") if trusted else None
    parameters = inspect.signature(family).parameters
    supplied = {"channels": channels, "image_size": image_size, "classes": classes}
    supplied = {key: value for key, value in supplied.items() if key in parameters}
    if weights == "pretrained":
        if "pretrained" not in parameters:
            raise UserError(
                f"model.weights=pretrained: {family.__name__} has none; allowed: null, or the path of a run folder or"
                " of a .safetensors file (pretrained is for model=torchvision and model=timm)"
            )
        options["pretrained"] = True
    try:
        model = family(**supplied, **options)
    except OSError as error:  # pretrained weights come over the network
        raise UserError(f"model.weights={weights}: cannot be fetched: {error}") from error
    if weights not in (None, "pretrained"):
        for message in load_weights(model, weights):
            log.info(message)
    name = f"{family.__name__} {options['name']}" if "name" in options else family.__name__
    dry_run(model, name, channels, image_size, classes)
    return model


def _shipped_family(config: dict) -> Callable[..., nn.Module]:
    """The family that a config from a file names; UserError unless it is one of this package, with allowed values."""
    if not is_shipped("model", config):
        raise UserError(
            f"model={option_name(config)}: a stored model may only name a family of effdl's (--trust runs others)"
        )
    check_call("model", config, SHARED["model"])
    return locate(config["_target_"])


def dry_run(model: nn.Module, name: str, channels: int, image_size: int, classes: int) -> None:
    """Raise UserError unless ``model`` turns two images into two rows of logits; leaves it and the RNG unchanged."""
    image = f"{channels}x{image_size}x{image_size}"
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            logits = model(torch.zeros(2, channels, image_size, image_size))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(f"model {name} cannot take {image} images: {error}") from error
    finally:
        for module, training in modes.items():
            module.training = training
    shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if shape != (2, classes):
        raise UserError(f"model {name} gives {shape} for two {image} images; expected (2, {classes})")
