"""A plan: how many filters go, and what is done to each layer's weight; as overrides of a run, and as a file's size."""

import copy
import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.compression.sensitivity import pruned
from effdl.config.overrides import quote
from effdl.models import storage
from effdl.nn.layers import weights
from effdl.nn.mask import mask_of
from effdl.nn.parametrizations import materialize_parametrizations, quant_grids
from effdl.nn.quantizers import WeightQuantizer
from effdl.search.choices import FLOAT, Choice, stored_step
from effdl.search.goal import METHODS
from effdl.utils.files import write_json

_LATER = ("int8", "longer")  # plans were numbered before they had these


@dataclass(frozen=True)
class Plan:
    """What is to be made of the dense model.

    Args:
        filters: fraction of the MACs that removed filters save; 0: none is removed.
        layers: by the name of the layer; empty: weights stay as they are.
        activations: bits of all layers' inputs; 32: floats.
        predicted: metrics of the model before it is fine-tuned, by key.
        int8: whether all of it becomes 8-bit integers after training, with which ONNX Runtime computes.
        longer: whether fine-tuning takes twice as many epochs after each step.
    """

    filters: float = 0.0
    layers: Mapping[str, Choice] = field(default_factory=dict)
    predicted: Mapping[str, float] = field(default_factory=dict)
    activations: int = FLOAT
    int8: bool = False
    longer: bool = False

    @property
    def digest(self) -> str:
        """The same for plans that make the same model, and for no others: SHA-256 (hex)."""
        return hashlib.sha256(json.dumps(self._made, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        """The plan as text, see `from_json`."""
        return json.dumps({**self._made, "predicted": dict(self.predicted)})

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """A plan from its text."""
        found = json.loads(text)
        layers = {name: Choice(*choice) for name, choice in found["layers"].items()}
        later = {key: found.get(key, False) for key in _LATER}
        return cls(found["filters"], layers, found["predicted"], found["activations"], **later)

    @property
    def _made(self) -> dict:
        """What it makes, as plain values."""
        layers = {name: list(choice) for name, choice in self.layers.items()}
        later = {key: True for key in _LATER if getattr(self, key)}
        return {"filters": self.filters, "layers": layers, "activations": self.activations, **later}

    @property
    def methods(self) -> list[str]:
        """The compression methods that make it, in their order."""
        zeros = any(choice.sparsity for choice in self.layers.values())
        few_bits = any(choice.bits != FLOAT for choice in self.layers.values()) and not self.int8
        return [name for name, used in zip(METHODS, (self.filters, zeros, few_bits, self.int8), strict=True) if used]

    @property
    def trains(self) -> bool:
        """Whether a step trains: int8 does not."""
        return bool(set(self.methods) - {"int8"})

    @property
    def changes_weights(self) -> bool:
        """Whether weights become zero or get few bits, by training."""
        return bool(set(self.methods) & {"magnitude", "lsq"})

    def overrides(self, folder: Path, sizes: Mapping[str, int], epochs: int, distilled: bool = False) -> list[str]:
        """The overrides of a run that makes it. What they refer to is written into the folder.

        Args:
            sizes: elements of each layer's weight.
            epochs: of fine-tuning after each step.
            distilled: whether fine-tuning learns from a teacher's logits.
        """
        epochs *= 2 if self.longer else 1
        found = [f"compression=[{','.join([*(['logits'] if distilled else []), *self.methods])}]"]
        if self.filters:
            found += [f"prune={self.filters:g}", f"compression.filters.epochs={epochs}"]
        if amounts := {name: choice.sparsity for name, choice in self.layers.items() if choice.sparsity}:
            write_json(folder / "amounts.json", amounts)
            zeros = sum(sizes[name] * amount for name, amount in amounts.items())
            key = "compression.magnitude.level" if self.filters else "prune"
            found += [
                f"{key}={zeros / sum(sizes.values()):.6f}",
                f"compression.magnitude.amounts={quote(folder / 'amounts.json')}",
                f"compression.magnitude.epochs={epochs}",
            ]
        if self.int8:
            return [*found, "quantize=int8"]
        if "lsq" in self.methods:
            bits = {name: choice.bits for name, choice in self.layers.items()}
            write_json(folder / "bits.json", bits)
            found += [
                f"quantize={max(few for few in bits.values() if few != FLOAT)}",
                f"compression.lsq.bits_file={quote(folder / 'bits.json')}",
                f"compression.lsq.activation_bits={self.activations}",
                "compression.lsq.first_last=null",
                f"compression.lsq.epochs={epochs}",
            ]
        return found


@torch.no_grad()
def compressed(model: nn.Module, layers: Mapping[str, Choice]) -> nn.Module:
    """A copy of a model whose layers are pruned and quantized, without any training."""
    made = copy.deepcopy(model)
    for name, module, attribute in list(weights(made)):
        choice = layers.get(name, Choice(0.0, FLOAT))
        weight = pruned(getattr(module, attribute), choice.sparsity)
        if choice.sparsity:
            mask_of(module, attribute).keep.logical_and_(weight != 0)
        if choice.bits != FLOAT:
            quantizer = WeightQuantizer(choice.bits, stored_step(weight, choice.bits), learn=False)
            parametrize.register_parametrization(module, attribute, quantizer)
    return made


def stored_bytes(model: nn.Module, description: dict) -> int:
    """Length of the file that stores a model, which is written and deleted."""
    with tempfile.TemporaryDirectory() as folder:
        plain = materialize_parametrizations(model)
        return storage.write(Path(folder) / "model.safetensors", plain.state_dict(), description, quant_grids(model))
