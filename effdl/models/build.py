"""Build a model from its config, and check that it takes the images of the data set."""

import inspect
from collections.abc import Callable
from functools import partial
from importlib import import_module

import torch
from torch import nn

from effdl.config.annotations import show
from effdl.config.identity import is_shipped, node_by_target
from effdl.config.instantiate import locate
from effdl.config.naming import option_name
from effdl.config.schema import SHARED, SUPPLIED
from effdl.config.validation import check_call
from effdl.models.outline import nbytes, outline
from effdl.nn.modes import restored_modes
from effdl.utils.errors import UserError
from effdl.utils.hardware import memory_bytes


def build(config: dict, channels: int, image_size: int, classes: int, *, trusted: bool = True) -> nn.Module:
    """The model of a config's node for (N, channels, image_size, image_size) images and (N, classes) logits.

    Args:
        config: the function or class, its keys, and ``weights``: "pretrained" for models of other libraries. (Those
            of a file are loaded by `load_weights`, not here.) A function is given those of ``channels``,
            ``image_size`` and ``classes`` that it has parameters for.
        trusted: False for configs that come out of a file: only families of this package are made, and no weights
            are loaded.

    Returns:
        The model in train mode.

    Raises:
        UserError: the config names something else, or the model does not fit the images and classes or this machine.
    """
    config = node_by_target("model", config)
    make = maker(config, channels, image_size, classes, trusted=trusted)
    weights = config.get("weights") if trusted else None
    if is_shipped("model", config):
        _check_memory(make)
    if weights == "pretrained":
        if "pretrained" not in inspect.signature(make.func).parameters:
            raise UserError(
                f"model.weights=pretrained: {make.func.__name__} has none; allowed: null, or the path of a run folder"
                " or of a .safetensors or .pth file (pretrained is for model=torchvision and model=timm)"
            )
        make = partial(make, pretrained=True)
    try:
        model = make()
    except OSError as error:  # pretrained weights come over the network
        raise UserError(f"model.weights={weights}: cannot be fetched: {error}") from error
    dry_run(model, family_name(config), channels, image_size, classes)
    return model


def maker(config: dict, channels: int, image_size: int, classes: int, *, trusted: bool) -> partial[nn.Module]:
    """The call that makes the model of a config's node, without weights.

    Raises:
        UserError: see `build`.
    """
    config = node_by_target("model", config)
    family = locate(config["_target_"]) if trusted else _shipped_family(config)
    parameters = inspect.signature(family).parameters
    supplied = {"channels": channels, "image_size": image_size, "classes": classes}
    supplied = {key: value for key, value in supplied.items() if key in parameters}
    options = {key: value for key, value in config.items() if key not in ("_target_", *SHARED["model"])}
    return partial(family, **supplied, **options)


def trained_on(config: dict) -> tuple[list[float], list[float], int] | None:
    """What the pretrained weights of another library's model were trained on; None if it does not say.

    Returns:
        Mean and deviation of each of their channels, of pixels from 0 to 255, and their number of classes.
    """
    config = node_by_target("model", config)
    bridge = import_module(config["_target_"].rpartition(".")[0])
    return bridge.trained_on(config["name"]) if hasattr(bridge, "trained_on") else None


def family_name(config: dict) -> str:
    """What messages call a model: its function, with the library's name of it if it has one."""
    family = node_by_target("model", config)["_target_"].rpartition(".")[2]
    return f"{family} {config['name']}" if "name" in config else family


def _shipped_family(config: dict) -> Callable[..., nn.Module]:
    """The family that a config from a file names; UserError unless it is one of this package, with allowed values."""
    if not is_shipped("model", config):
        raise UserError(
            f"model={option_name(config)}: a stored model may only name a family of effdl's (--trust runs others)"
        )
    check_call("model", config, SHARED["model"])
    return locate(config["_target_"])


def _check_memory(make: partial[nn.Module]) -> None:
    """Refuse a model that is larger than the memory of this machine, before it is made.

    Raises:
        UserError: names the keys that are not the defaults, what the model needs and what there is.
    """
    try:
        needed = nbytes(outline(make))
    except (RuntimeError, TypeError, ArithmeticError):
        if "pretrained" in inspect.signature(make.func).parameters:  # not every model of other libraries has an outline
            return
        needed = 1 << 63  # more elements than PyTorch can count
    if needed > memory_bytes():
        defaults = {name: one.default for name, one in inspect.signature(make.func).parameters.items()}
        chosen = {key: value for key, value in make.keywords.items() if value != defaults[key]}
        keys = [f"model.{key}={show(value)}" for key, value in chosen.items() if key not in SUPPLIED["model"]]
        sizes = [f"{size / 1e9:,.0f} GB" for size in (needed, memory_bytes())]
        raise UserError(
            f"{', '.join(keys) or 'model'}: the weights of this {make.func.__name__} take at least {sizes[0]};"
            f" allowed is what fits the memory of this machine, {sizes[1]}"
        )


def dry_run(model: nn.Module, name: str, channels: int, image_size: int, classes: int, *, device: str = "cpu") -> None:
    """Raise UserError unless ``model`` turns two images into two rows of logits; leaves it and the RNG unchanged."""
    image = f"{channels}x{image_size}x{image_size}"
    try:
        with restored_modes(model), torch.no_grad(), torch.random.fork_rng(devices=[]):
            model.eval()
            logits = model(torch.zeros(2, channels, image_size, image_size, device=device))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(f"model {name} cannot take {image} images: {error}") from error
    shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if shape != (2, classes):
        raise UserError(f"model {name} gives {shape} for two {image} images; expected (2, {classes})")
