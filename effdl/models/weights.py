"""Initialize a model with the weights of another run."""

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from effdl.data.inputs import Inputs, inputs_of
from effdl.models.storage import opened
from effdl.models.storage.index import Entry
from effdl.models.surgery import last_layer
from effdl.nn.state import load_state
from effdl.utils.errors import UserError


@dataclass(frozen=True)
class _Loaded:
    """What a model was given of a file.

    Args:
        count, total: number of tensors that were loaded, and of those that the model has.
        anew: names of those that keep their initial values.
        inputs: what the weights were trained on; None if the file does not say.
    """

    count: int
    total: int
    anew: list[str]
    inputs: Inputs | None

    def __str__(self) -> str:
        kept = f"initialised anew: {', '.join(self.anew)}" if self.anew else "none initialised anew"
        return f"{self.count} of {self.total} tensors loaded, {kept}"


def load_weights(model: nn.Module, source: str, classes: tuple[str, ...], key: str = "model.weights") -> _Loaded:
    """Copy into a model the tensors of a run folder, its model file, or any .safetensors state dict.

    A last layer for other classes keeps its initial weights.

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
        raise UserError(f"{key}={source}: no such file: {path} (allowed: a run folder or a .safetensors file)")
    with opened(path) as file:
        inputs = inputs_of(file.model)
        wanted = model.state_dict()
        problems = _mismatches(wanted, file.tensors)
        head, _ = last_layer(model)
        foreign = [text for name, text in problems.items() if not _is_of(name, head)]
        if foreign:
            more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
            raise UserError(f"{key}={source}: does not fit the model: {'; '.join(foreign[:3])}{more}")
        if problems or (inputs and set(inputs.classes) != set(classes)):
            problems |= {name: "of other classes" for name in wanted if _is_of(name, head)}
        state = {name: tensor for name, tensor in file.state().items() if name not in problems}
        load_state(model, state, strict=False)
    return _Loaded(len(state), len(wanted), [name for name in wanted if name in problems], inputs)


def pretrained(model: nn.Module, trained_on: tuple[list[float], list[float], int], inputs: Inputs) -> _Loaded:
    """What a model of another library was given of its pretrained weights when it was built.

    Args:
        trained_on: see `effdl.models.build.trained_on`.
        inputs: of the data set. Of another number of channels each has the normalization of those whose filters it
            takes (see `surgery.adapt_filters`): one channel their mean.
    """
    *statistics, classes = trained_on
    names, (head, _) = list(model.state_dict()), last_layer(model)
    anew = [name for name in names if classes != len(inputs.classes) and _is_of(name, head)]
    mean, std = (_per_channel(values, inputs.channels) for values in statistics)
    return _Loaded(len(names) - len(anew), len(names), anew, replace(inputs, mean=mean, std=std))


def _per_channel(values: list[float], channels: int) -> tuple[float, ...]:
    """Values of some channels for another number of them."""
    if channels == 1:
        return (sum(values) / len(values),)
    return tuple(values[channel % len(values)] for channel in range(channels))


def _is_of(name: str, layer: str) -> bool:
    """Whether a tensor is a parameter of a layer."""
    return name.rpartition(".")[0] == layer


def _mismatches(wanted: dict[str, Tensor], found: dict[str, Entry | Tensor]) -> dict[str, str]:
    """Reasons, by name, why the tensors ``found`` cannot be loaded into those ``wanted``."""
    problems = {}
    for key, tensor in wanted.items():
        if key not in found:
            if not key.endswith("num_batches_tracked"):  # a counter that inference does not read; files may omit it
                problems[key] = f"{key} is missing"
        elif tuple(found[key].shape) != tuple(tensor.shape):
            problems[key] = f"{key} is {tuple(found[key].shape)} there, {tuple(tensor.shape)} here"
    return problems | {key: f"{key} is not in the model" for key in found if key not in wanted}
