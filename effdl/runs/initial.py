"""The weights that a run's model, or its teacher, begins with, and how images are normalized for them."""

from dataclasses import replace

from torch import nn

from effdl.config.annotations import show
from effdl.data.build import Data
from effdl.data.inputs import Inputs
from effdl.models.build import build, family_name, trained_on
from effdl.models.surgery import start_small
from effdl.models.weights import Loaded, load_weights, normalized, pretrained
from effdl.utils.errors import UserError

UNKNOWN = "it does not say its classes and normalization: those of the data set are used"
_CLASSES = "it does not say its classes: they are taken to be those of the data set, in their order"
_KNOWN = {  # mean and deviation of values from 0 to 1, by their name
    "imagenet": [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]],
    "half": [[0.5], [0.5]],
}


def initialized(node: dict, data: Data) -> tuple[nn.Module, Data, list[str]]:
    """The model of a run, the data as it knows them, and what its weights came from, in words.

    Weights of another run keep the normalization that they were trained with, and their order of classes. Those of
    other classes lose their last layer; the new one begins small.

    Raises:
        UserError: the model does not fit the data, or the weights do not fit the model.
    """
    model = build(node, data.channels, data.image_size, len(data.classes))
    loaded, notes = load_named(model, node, data.inputs, "model")
    if loaded:
        start_small(model, loaded.anew)
    if loaded and (inputs := loaded.inputs):
        if inputs.image_size != data.image_size:
            notes.append(f"trained on images of {inputs.image_size} pixels, here {data.image_size}")
        if (inputs.mean, inputs.std) != (data.mean, data.std):
            notes.append("images normalized by their mean and deviation")
            data = data.normalized_for(inputs)
        if not loaded.anew and inputs.classes != data.classes:
            inputs.require_classes(data.classes, f"model.weights={node['weights']}")
            notes.append("classes in their order")
            data = data.numbered_for(inputs)
    return model, data, [f"model.weights={node['weights']}: {note}" for note in notes]


def load_named(model: nn.Module, node: dict, inputs: Inputs, key: str) -> tuple[Loaded | None, list[str]]:
    """Load the weights that a model's config names.

    Args:
        inputs: of the data set.
        key: of the config's node, for messages.

    Returns:
        What the model was given; None if there are none to load, or the library does not say it. Then notes.

    Raises:
        UserError: the weights do not fit the model, or its ``normalization`` does not fit the weights.
    """
    source, typed = node.get("weights"), node.get("normalization")
    said = f"{key}.normalization={show(typed)}"
    if source is None:
        if typed:
            raise UserError(f"{said} is that of images for given weights: it needs {key}.weights (allowed: null)")
        return None, []
    if source == "pretrained":
        known = trained_on(node)
        loaded = known and pretrained(model, known, inputs)
    else:
        loaded = load_weights(model, source, inputs.classes, f"{key}.weights")
    notes = loaded.lines() if loaded else []
    if loaded and loaded.inputs:
        if typed:
            raise UserError(f"{said}: {key}.weights={source} says its own, which is used (allowed: null)")
        return loaded, notes
    if typed:
        known, note = [*_scaled(typed, inputs.channels, said)], f"normalized as {said} says"
    elif loaded and loaded.foreign and (known := trained_on(node)):
        taken = "; ".join(", ".join(f"{value / 255:.4g}" for value in values) for values in known[:2])
        note = f"it does not say its normalization: that of the pretrained {family_name(node)} is assumed ({taken})"
        note += f"; {key}.normalization says another one"
    else:
        return loaded, [*notes, UNKNOWN]
    notes += [note] if loaded and loaded.anew else [_CLASSES, note]
    found = loaded or Loaded(len(model.state_dict()), len(model.state_dict()), [], None)
    return replace(found, inputs=normalized(inputs, *known[:2])), notes


def _scaled(typed: str | list[list[float]], channels: int, said: str) -> list[list[float]]:
    """Mean and deviation of pixels from 0 to 255.

    Raises:
        UserError: they are not of as many channels as images have, or a deviation is 0.
    """
    mean, std = _KNOWN[typed] if isinstance(typed, str) else typed
    if not isinstance(typed, str) and not {len(mean), len(std)} <= {1, channels}:
        raise UserError(
            f"{said}: {len(mean)} means and {len(std)} deviations for {channels} channels (allowed: 1 each)"
        )
    if min(std) <= 0:
        raise UserError(f"{said}: a deviation of 0 (allowed: more)")
    return [[255 * value for value in values] for values in (mean, std)]
