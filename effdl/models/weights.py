"""Initialize a model with weights of another run, or of any file that holds tensors."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor, nn

from effdl.data.inputs import Inputs, inputs_of
from effdl.models import storage, torch_file
from effdl.models.matching import Matching, best, exact, is_of
from effdl.models.padded import pads, reordered
from effdl.models.surgery import adapt_filters, first_convolution, last_layer
from effdl.nn.state import load_state
from effdl.utils.errors import UserError
from effdl.utils.text import abridged


@dataclass(frozen=True)
class Loaded:
    """What a model was given of a file.

    Args:
        count, total: number of tensors that were loaded, and of those that the model has.
        anew: names of those that keep their initial values.
        inputs: what the weights were trained on; None if the file does not say.
        left_out: names of the file's tensors that the model has no use for.
        notes: how the file was read, in words.
        foreign: whether it is no file of effdl's.
    """

    count: int
    total: int
    anew: list[str]
    inputs: Inputs | None
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    foreign: bool = False

    def lines(self) -> list[str]:
        """What was loaded, left out and initialised anew, a line each."""
        how = f" ({', '.join(self.notes)})" if self.notes else ""
        left_out = [f"left out of the file: {_some(self.left_out)}"] if self.left_out else []
        loaded = f"{self.count} of {self.total} tensors loaded{how}"
        if not self.anew:
            return [f"{loaded}, none initialised anew", *left_out]
        return [loaded, *left_out, f"initialised anew: {', '.join(self.anew)}"]


def load_weights(model: nn.Module, source: str, classes: tuple[str, ...], key: str = "model.weights") -> Loaded:
    """Copy into a model the tensors of a run folder, its model file, a .safetensors file or one of ``torch.save``.

    A last layer for other classes keeps its initial weights. Files of other origin may name their tensors as
    `effdl.models.matching` understands, hold more than the model needs, and have a first convolution for another number
    of channels, whose filters are adapted.

    Args:
        classes: names of those that the model is to tell apart.
        key: for messages.

    Raises:
        UserError: there is no such file, or it differs from the model in any other tensor; nothing is decoded then.
    """
    path = Path(source)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        allowed = "a run folder, or a .safetensors, .pth or .pt file"
        raise UserError(f"{key}={source}: no such file: {path} (allowed: {allowed})")
    named = f"{key}={source}"
    if path.suffix != ".safetensors":
        try:
            file = torch_file.read(path)
        except UserError as error:
            raise UserError(f"{key}: {error}") from error
        return _load_foreign(model, file.tensors, named, file.notes)
    with storage.opened(path) as file:
        if not file.model:
            return _load_foreign(model, file.state(), named, [])
        inputs = inputs_of(file.model)
        wanted = model.state_dict()
        matching = exact(wanted, file.tensors)
        head, _ = last_layer(model)
        _require_fit(matching, head, named)
        problems = set(matching.problems)
        if problems or (inputs and set(inputs.classes) != set(classes)):
            problems |= {name for name in wanted if is_of(name, head)}
        state = {name: tensor for name, tensor in file.state().items() if name not in problems}
        load_state(model, state, strict=False)
    return Loaded(len(state), len(wanted), [name for name in wanted if name in problems], inputs)


def pretrained(model: nn.Module, trained_on: tuple[list[float], list[float], int], inputs: Inputs) -> Loaded:
    """What a model of another library was given of its pretrained weights when it was built.

    Args:
        trained_on: see `effdl.models.build.trained_on`.
        inputs: of the data set. Of another number of channels each has the normalization of those whose filters it
            takes (see `surgery.adapt_filters`): one channel their mean.
    """
    mean, std, classes = trained_on
    names, (head, _) = list(model.state_dict()), last_layer(model)
    anew = [name for name in names if classes != len(inputs.classes) and is_of(name, head)]
    return Loaded(len(names) - len(anew), len(names), anew, normalized(inputs, mean, std))


def normalized(inputs: Inputs, mean: list[float], std: list[float]) -> Inputs:
    """Inputs with a normalization of pixels from 0 to 255, which may be given for another number of channels."""
    mean, std = (_per_channel(values, inputs.channels) for values in (mean, std))
    return replace(inputs, mean=mean, std=std)


def _load_foreign(model: nn.Module, tensors: dict[str, Tensor], named: str, notes: list[str]) -> Loaded:
    """Load the tensors of a file that is not effdl's; see `load_weights`."""
    wanted, (head, _) = model.state_dict(), last_layer(model)
    matching = best(wanted, tensors, head)
    matching, tensors, adapted = _adapted(model, matching, tensors)
    _require_fit(matching, head, named)
    anew = {name for name in wanted if is_of(name, head)} if matching.problems else set()
    names = {full: name for full, name in matching.names.items() if name in wanted and name not in anew}
    state = {name: tensors[full] for full, name in names.items()}
    if matching.library and pads(model):
        state = reordered(model, state, head)
        adapted = [*adapted, "channels as shortcuts that append zeros need them"]
    load_state(model, state, strict=False)
    return Loaded(
        len(names),
        len(wanted),
        [name for name in wanted if name in anew],
        inputs=None,
        left_out=[*matching.left_out, *(full for full, name in matching.names.items() if name not in wanted)],
        notes=[*notes, *matching.notes, *adapted],
        foreign=True,
    )


def _adapted(
    model: nn.Module, matching: Matching, tensors: dict[str, Tensor]
) -> tuple[Matching, dict[str, Tensor], list[str]]:
    """The same with filters of the first convolution for the channels of the model, and what was done."""
    first, convolution = first_convolution(model) or ("", None)
    full = next((full for full, name in matching.names.items() if name == f"{first}.weight"), None)
    if full is None or f"{first}.weight" not in matching.problems or convolution.groups != 1:
        return matching, tensors, []
    here, there = tuple(convolution.weight.shape), tuple(tensors[full].shape)
    if len(there) != 4 or (here[0], *here[2:]) != (there[0], *there[2:]) or not there[1]:
        return matching, tensors, []
    problems = {name: why for name, why in matching.problems.items() if name != f"{first}.weight"}
    adapted = tensors | {full: adapt_filters(tensors[full], here[1])}
    note = f"{first}.weight adapted from {there[1]} channels to {here[1]}"
    return replace(matching, problems=problems), adapted, [note]


def _require_fit(matching: Matching, head: str, named: str) -> None:
    """Raise UserError if anything but the last layer does not fit."""
    if foreign := [text for name, text in matching.problems.items() if not is_of(name, head)]:
        held = "" if matching.names else f" (the file has {_some(matching.left_out)})"
        raise UserError(f"{named}: does not fit the model: {_some(foreign, '; ')}{held}")


def _some(names: list[str], separator: str = ", ") -> str:
    """The first of a list; names in files may have any characters and any length."""
    return separator.join(map(abridged, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _per_channel(values: list[float], channels: int) -> tuple[float, ...]:
    """Values of some channels for another number of them."""
    if channels == 1:
        return (sum(values) / len(values),)
    return tuple(values[channel % len(values)] for channel in range(channels))
