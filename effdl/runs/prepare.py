"""From a checked config to the parts of a run: everything that can be wrong with them is found out here."""

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from effdl.compression.method import check_fits, kind_of
from effdl.compression.pipeline import (
    check_during,
    check_order,
    check_rewinding,
    check_stages,
    distillation_losses_of,
    rewind_epoch,
    steps_on,
)
from effdl.config.identity import node_by_option
from effdl.config.instantiate import instantiate, locate
from effdl.config.naming import option_name
from effdl.config.paths import located
from effdl.config.schema import SHARED
from effdl.data.build import Data, load
from effdl.deploy.latency import check_runtime
from effdl.models.build import build
from effdl.models.structure import changes
from effdl.nn.layers import l1_norm
from effdl.runs.initial import initialized
from effdl.runs.teachers import teachers_of
from effdl.training.device import Device, select_device
from effdl.training.frozen_trunk import check_cached_views
from effdl.training.recipe import Recipe
from effdl.training.transfer import ALL_LEARN, Transfer, described, resolved
from effdl.utils.data_parallel import check_shares
from effdl.utils.distributed import world_size
from effdl.utils.errors import UserError, first_line
from effdl.utils.seeding import derive_seed

_WEIGHTS = tuple(SHARED["model"])  # keys of a model that are no part of its architecture


@dataclass
class PreparedRun:
    """The parts of a run that are ready before its folder exists; its data are on the device."""

    config: dict
    device: Device
    data: Data
    model: nn.Module
    teachers: dict[str, nn.Module] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)  # what was typed
    transfer: Transfer = ALL_LEARN  # which parameters learn
    notes: list[str] = field(default_factory=list)  # on the data, the model and the teachers, a line each
    typed_in: Path = field(default_factory=Path.cwd)  # what its relative paths mean
    located: dict = field(init=False)  # the config with the paths that are meant
    parameters: int = field(init=False)  # of the model before any step

    def __post_init__(self) -> None:
        self.located = located(self.config, self.typed_in)
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def nbytes(self) -> int:
        """Bytes of the images, the model and the teachers."""
        models, data = (self.model, *self.teachers.values()), self.data
        images = sum(split.nbytes for split in (data.train, data.val, data.test, data.unlabelled) if split)
        return images + sum(tensor.nbytes for model in models for tensor in model.state_dict().values())

    def fresh_model(self) -> nn.Module:
        """An untrained model of the config, drawn from the global random numbers."""
        return _untrained(self.config["model"], self.data)

    def recipe(self) -> Recipe:
        """How the run trains."""
        return recipe_of(self.config, len(self.data.classes), self.transfer)

    def model_description(self, stage: str, model: nn.Module) -> dict:
        """What a stored model says of itself: its stage, and enough to build its architecture again."""
        config = self.config["teacher" if stage == "teacher" else "model"]
        return {
            "stage": stage,
            "config": {key: value for key, value in node_by_option("model", config).items() if key not in _WEIGHTS},
            "channels": self.data.channels,
            "image_size": self.data.image_size,
            "classes": len(self.data.classes),
            "structure": changes(model, _untrained(config, self.data)),
            "inputs": self.data.inputs.described(),
        }

    def describe(self) -> str:
        """What is about to run, in one line."""
        data, config = self.data, self.config
        images = f"{len(data.train):,} training, {len(data.val or []):,} validation and {len(data.test):,} test images"
        images += f", {len(data.unlabelled):,} without labels" if data.unlabelled else ""
        shape = f"{data.channels}x{data.image_size}x{data.image_size}"
        return (
            f"{option_name(config['model'])} ({self.parameters:,} parameters) "
            f"on {option_name(config['dataset'])} ({images}, {shape}), "
            f"{self.device.torch_device}, {torch.get_num_threads()} threads"
        )


def prepare_run(config: dict, overrides: list[str] | None = None, typed_in: Path | None = None) -> PreparedRun:
    """Select the device, load the data and build the model of a checked config; nothing is written.

    Args:
        typed_in: the folder that relative paths mean; None: the current one.

    Raises:
        UserError: a device, data set, model or file that is not there or does not fit the others.
    """
    typed_in = typed_in or Path.cwd()
    typed, config = config, located(config, typed_in)
    device = select_device(config["device"])
    check_runtime(device.runtime)
    data = load(config["dataset"])
    steps = [(name, locate(node["_target_"]), node) for name, node in steps_on(config)]
    check_order([(name, kind_of(function)) for name, function, _ in steps])
    check_stages(config)
    check_rewinding(config)
    check_during(config)
    check_shares(config["batch_size"], len(data.train))
    torch.manual_seed(derive_seed(config["seed"], "model"))
    model, data, notes = initialized(config["model"], data)
    _check_single_images(model, "this model", config["batch_size"], data)
    transfer, frozen = _transfer(config, model, data.input_shape)
    teachers, taught = teachers_of(config, data)
    if "teacher" in teachers and not config["teacher"]["weights"]:  # it is trained first, by the same recipe
        _check_single_images(teachers["teacher"], "its teacher", config["batch_size"], data)
    _check_steps(steps, model, teachers, data.input_shape, min(config["batch_size"], len(data.train)))
    _check_cached_views(config, model, data, transfer)
    if config["pretraining"]:
        _check_pretraining(config, model, data)
    said = [*(f"data: {note}" for note in data.notes), *_on_labels(config, data)]
    notes = [*said, *notes, *frozen, *taught]
    on_device = data.to(device.torch_device)
    return PreparedRun(typed, device, on_device, model, teachers, overrides or [], transfer, notes, typed_in)


def _transfer(config: dict, model: nn.Module, input_shape: tuple[int, int, int]) -> tuple[Transfer, list[str]]:
    """Which parameters of the model learn, and what there is to say about it.

    Raises:
        UserError: what the config says does not fit the model, or its number of epochs.
    """
    trainable, unfreeze, epochs = str(config["trainable"]), config["unfreeze"], config["epochs"]
    if unfreeze and unfreeze >= epochs:
        allowed = f"null, or a whole number from 1 to {epochs - 1}" if epochs > 1 else "null"
        raise UserError(
            f"unfreeze={unfreeze}: with epochs={epochs} the last part alone would learn (allowed: {allowed})"
        )
    transfer = resolved(model, input_shape, trainable, unfreeze, config["optimizer"].get("layer_decay"))
    notes = described(transfer, model, trainable)
    if trainable != "all" and not config["model"].get("weights") and not config.get("pretraining"):
        notes.append(f"trainable={trainable}: what does not learn keeps its random weights, as model.weights=null")
    return transfer, notes


def _on_labels(config: dict, data: Data) -> list[str]:
    """How many labels are used for what, if there are images without them, and what learns from those."""
    if data.unlabelled is None:
        return []
    labels = f"labels: {len(data.train):,} to train, {len(data.val or []):,} to validate, {len(data.test):,} to test"
    learning = [f"distill={config['distill']}"] if config["distill"] else []
    if node := config["pretraining"]:
        learning.insert(0, f"pretraining={option_name(node)}")
    use = " and ".join(learning) + f" {'learn' if len(learning) > 1 else 'learns'} from them too"
    use = use if learning else "nothing learns from them (distill=... or pretraining=... would)"
    return [f"{labels}; {len(data.unlabelled):,} training images have none: {use}"]


def _check_steps(
    steps: list[tuple[str, Callable, dict]],
    model: nn.Module,
    teachers: dict[str, nn.Module],
    input_shape: tuple[int, int, int],
    batch_size: int,
) -> None:
    """Check, before any training, that the steps can be applied to the model, as far as it is known when they are.

    After a step that changes layers the model is another one. A distillation loss is first used in the first training,
    or as its `level` and ``during`` say.

    Raises:
        UserError: a step cannot work on this model.
    """
    kinds = [kind_of(function) for _, function, _ in steps]
    for position, (_, function, node) in enumerate(steps):
        reshaped = "structure" in kinds[:position]
        if kinds[position] == "distillation_loss":
            first = node["level"] != "self" and "dense" in (node.get("during") or ["dense"])
            reshaped = "structure" in kinds and not first
        if not reshaped:
            teacher = teachers.get(node["level"], model)
            pruned = "mask" in kinds[:position]
            known = {"input_shape": input_shape, "batch_size": batch_size, "pruned": pruned, "teacher": teacher}
            check_fits(function, model, node, **known)


def _check_cached_views(config: dict, model: nn.Module, data: Data, transfer: Transfer) -> None:
    """Refuse (UserError) cached views that the first training, with its distillation, cannot use."""
    losses = [make for applies, make in distillation_losses_of(config) if applies("dense")]
    recipe = replace(recipe_of(config, len(data.classes), transfer), distillation_losses=tuple(losses))
    check_cached_views(model, data, recipe)


def _check_pretraining(config: dict, model: nn.Module, data: Data) -> None:
    """Check that there are the images that pretraining needs, and that its method can work on the model.

    Raises:
        UserError: it cannot.
    """
    node, key = config["pretraining"], f"pretraining={option_name(config['pretraining'])}"
    if data.val is None:
        raise UserError(
            f"dataset.val={config['dataset'].get('val')}: {key} needs a validation split, whose labels say how good "
            "its features are (allowed: above 0)"
        )
    batch_size = node.get("batch_size") or config["batch_size"]
    images = len(data.train) + len(data.unlabelled or [])
    if min(batch_size, images) < 2:
        raise UserError(f"{key}: a batch is one image, and images are compared (allowed: pretraining.batch_size=2)")
    check_shares(batch_size, images, "pretraining.batch_size")
    check_fits(locate(node["_target_"]), model, node, input_shape=data.input_shape)


def _check_single_images(model: nn.Module, what: str, batch_size: int, data: Data) -> None:
    """Refuse (UserError) batches of one image, if a norm of the model needs more to train on."""
    if world_size() > 1 or min(batch_size, len(data.train)) > 1:
        return
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            copy.deepcopy(model).train()(torch.zeros(1, *data.input_shape))
    except ValueError as error:
        found = f"batch_size={batch_size} and {len(data.train)} training images: a batch is one image"
        raise UserError(f"{found}, on which {what} cannot train (allowed: more): {first_line(error)}") from error


def recipe_of(config: dict, classes: int, transfer: Transfer = ALL_LEARN) -> Recipe:
    """The recipe that a config describes."""
    return Recipe(
        epochs=config["epochs"],
        batch_size=config["batch_size"],
        optimizer=instantiate(config["optimizer"]),
        schedule=instantiate(config["scheduler"]),
        augment=tuple(_with_classes(instantiate(node), classes) for node in config["augment"].values()),
        label_smoothing=config["label_smoothing"],
        clip_norm=config["clip_norm"],
        penalties=(lambda model: config["l1"] * l1_norm(model),) if config["l1"] else (),  # Tibshirani 1996: the lasso
        ema=config["ema"],
        early_stop=config["early_stop"],
        transfer=transfer,
        cached_views=config["cached_views"],
        keep_epoch=rewind_epoch(config),
        eval_batch_size=config["eval_batch_size"],
    )


def _untrained(model: dict, data: Data) -> nn.Module:
    """A model of a config's node with new weights."""
    return build({**model, "weights": None}, data.channels, data.image_size, len(data.classes))


def _with_classes(augment: Callable, classes: int) -> Callable:
    """Bind the number of classes to an augmentation that makes class probabilities of labels."""
    return partial(augment, classes=classes) if "classes" in inspect.signature(augment).parameters else augment
