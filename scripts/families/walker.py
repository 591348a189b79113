"""One model's walk: what effdl does with it, each with its outcome."""

import json
import math
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from torch import Size, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.swa_utils import update_bn
from torch.utils.flop_counter import FlopCounterMode

from effdl.compression.method import check_fits
from effdl.config.instantiate import instantiate, locate
from effdl.config.options import config_folder, content
from effdl.data.build import Data
from effdl.data.source import Images
from effdl.deploy.torch_export import load, to_torch_export
from effdl.measure.energy import EnergyMeter
from effdl.models import storage
from effdl.models.build import build
from effdl.models.stored import load_model
from effdl.models.structure import apply, changes
from effdl.nn.parametrizations import materialize_parametrizations, quant_grids
from effdl.nn.state import load_state
from effdl.nn.weight_uses import count_products
from effdl.training.callbacks import Callbacks
from effdl.training.checkpoint import Checkpoint
from effdl.training.device import Device
from effdl.training.epoch_log import EpochLog
from effdl.training.loop import fit
from effdl.training.optimizers import sgd
from effdl.training.recipe import Recipe
from effdl.training.schedules import constant
from effdl.training.trainer import Trainer
from effdl.utils.errors import UserError
from effdl.utils.rows import Rows

SIZES = (32, 64, 128, 224, 240, 256, 299, 384, 448)
LARGER = {"efficientvim_m1": 64}  # at 32 its batch norms see one pixel of each image, and its gradients overflow
SECONDS, LARGEST = 45, 3e5
CLASSES = 4
METHODS: dict[str, float | int | str] = {
    "magnitude": 0.5,
    "filters": 0.3,
    "lowrank": 0.2,
    "int8": "int8",
    "lsq": 4,
    "kmeans": 4,
    "binary": "binary",
    "logits": "teacher",
    "hints": "teacher",
}
QUICK = {"kmeans": {"iterations": 3}, "int8": {"calibration": "minmax"}}
COLUMNS = ("load", "step", "MACs", *METHODS, "export")


class Late(BaseException):
    """A check took too long; no Exception, which a check may catch."""


@contextmanager
def limit(seconds: int) -> Iterator[None]:
    """Raise `Late` in the block after some time of the processor."""

    def stop(number: int, frame: object) -> None:
        raise Late

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


@contextmanager
def _no_refusal() -> Iterator[None]:
    """What is refused in the block should have been refused before."""
    try:
        yield
    except UserError as error:
        raise RuntimeError(f"refused after the check: {error}") from error


def _lstm_flops(images: Size, inputs: Size, hidden: Size, *rest: object, out_shape: object, **more: object) -> int:
    """FLOPs of one direction of an LSTM's layer: both weights, (4H, I) and (4H, H), times every step of every sequence.

    Args:
        images: shape (T, N, I) of the sequences.
    """
    steps, sequences, _ = images
    return 2 * steps * sequences * (math.prod(inputs) + math.prod(hidden))


def walk(library: str, name: str, tell: Callable[[str, str, str], None]) -> None:
    """All checks of one model; `tell` is given the check, the outcome and a word on it."""

    def attempt(check: str, function: Callable[[], str]) -> bool:
        try:
            with limit(SECONDS):
                tell(check, "yes", function())
            return True
        except Late:
            tell(check, "late", "")
        except UserError as error:
            tell(check, "refused", str(error))
        except Exception as error:  # whatever a library's model raises
            tell(check, "fails", f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        return False

    walker = None

    def load() -> str:
        nonlocal walker
        walker = Walker(library, name)
        return f"{walker.shape[1]} {sum(parameter.numel() for parameter in walker.model.parameters())}"

    if not attempt("load", load):
        return
    if not attempt("step", walker.step):
        return
    attempt("MACs", walker.macs)
    for method, level in METHODS.items():
        attempt(method, partial(walker.compress, method, level))
    attempt("export", walker.export)


class Walker:
    """A model, and a data set of eight images as small as it takes."""

    def __init__(self, library: str, name: str) -> None:
        torch.manual_seed(0)
        self.config = {"_target_": f"effdl.models.{library}.{library}", "name": name}
        for size in (size for size in SIZES if size >= LARGER.get(name, 0)):
            self.shape = (3, size, size)
            try:
                self.model = build(self.config, *self.shape[:2], CLASSES)
                break
            except UserError:
                if size == SIZES[-1]:
                    raise
        pixels = torch.randint(256, (8, *self.shape), dtype=torch.uint8)
        images = Images(pixels, torch.arange(8) % CLASSES)
        half = (0.5, 0.5, 0.5)
        self.data = Data("made", images, None, images, ("a", "b", "c", "d"), 3, size, half, half, "")

    def trainer(self, folder: str) -> Trainer:
        """A trainer with the real loop, one epoch of two updates."""

        device = Device(torch.device("cpu"))
        optimizer = partial(sgd, lr=1e-4, nesterov=False, weight_decay=0.0)

        def train(model: nn.Module, recipe: Recipe, stage: str, number: int) -> nn.Module:
            return fit(
                model,
                self.data,
                recipe,
                device,
                seed=number,
                checkpoint=Checkpoint(Path(folder), number, "walk"),
                meter=EnergyMeter(enabled=False, country=None, pue=1.0),
                callbacks=Callbacks([]),
                log=EpochLog(Rows(Path(folder) / "epochs.jsonl"), stage, number),
            )

        recipe = Recipe(1, 4, optimizer, constant, clip_norm=1.0)
        return Trainer(self.data, recipe, device, train, lambda: deepcopy(self.model), dict)

    def step(self) -> str:
        """One training, after which the statistics of batch norms are those of the images, and the stored model."""

        with tempfile.TemporaryDirectory() as folder:
            trainer = self.trainer(folder)
            self.model = trainer.fit(self.model, epochs=1)
            update_bn([images for images, _ in trainer.calibration_batches(8)], self.model)
            return self.stored(self.model.eval(), Path(folder) / "model.safetensors")

    def macs(self) -> str:
        """The MACs, and those of PyTorch's counter, to which LSTMs are told."""

        model, images = deepcopy(self.model).eval().requires_grad_(False), torch.zeros(1, *self.shape)
        torch.backends.mha.set_fastpath_enabled(False)
        own = {torch.ops.aten.mkldnn_rnn_layer: _lstm_flops}
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=own) as counter:
            model(images)
        found, reference = count_products(model, images), counter.get_total_flops() // 2
        if found.macs != reference or found.uncounted:
            raise RuntimeError(f"{found.macs} MACs, the reference has {reference}; not counted: {found.uncounted}")
        return str(found.macs)

    def compress(self, method: str, level: float | str) -> str:
        """One method with the values of its file, checked as a run does it, and the stored model."""

        node = {**content(config_folder() / "compression" / f"{method}.yaml"), "level": level}
        model, teacher = deepcopy(self.model), deepcopy(self.model).eval().requires_grad_(False)
        function = locate(node["_target_"])
        check_fits(function, model, node, input_shape=self.shape, pruned=False, teacher=teacher)
        torch.manual_seed(1)
        model.eval()
        node |= QUICK.get(method, {})
        small = sum(parameter.numel() for parameter in model.parameters()) < LARGEST
        with tempfile.TemporaryDirectory() as folder, _no_refusal():
            trainer = self.trainer(folder)
            trainer.teachers["teacher"] = teacher
            if function.kind == "distillation_loss":
                trainer.distillation_losses.append((lambda stage: True, instantiate(node)))
                model = trainer.fit(model, epochs=1)
            else:
                model = instantiate(node)(model, trainer)
            return self.stored(model, Path(folder) / "model.safetensors" if small else None)

    def stored(self, model: nn.Module, file: Path | None) -> str:
        """Store a model and read it back; without a file only its description is written and read.

        Raises:
            RuntimeError: it is another one.
        """

        def untrained() -> nn.Module:
            return build(self.config, *self.shape[:2], CLASSES)

        plain, description = materialize_parametrizations(model).eval(), {"channels": 3, "image_size": self.shape[1]}
        description |= {"config": self.config, "classes": CLASSES, "structure": changes(plain, untrained())}
        if file:
            storage.write(file, plain.state_dict(), description, quant_grids(model))
            again = load_model(file)
        else:
            again = apply(untrained(), json.loads(json.dumps(description["structure"]))).eval()
            load_state(again, plain.state_dict(), assign=True)
        images = torch.randn(2, *self.shape, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            difference = (plain(images) - again(images)).abs().max()
        if difference != 0:
            raise RuntimeError(f"the model that was read back differs by {difference:.3g}")
        return str(file.stat().st_size) if file else ""

    def export(self) -> str:
        """A program of ``torch.export`` with the same answers."""

        model = deepcopy(self.model).eval()
        images = torch.randn(2, *self.shape, generator=torch.Generator().manual_seed(2))
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            file = Path(folder) / "model.pt2"
            size = to_torch_export(model, self.shape, file)
            difference = (load(file)(images) - model(images)).abs().max()
        if difference > 1e-4:
            raise RuntimeError(f"the exported model differs by {difference:.3g}")
        return str(size)
