"""The training loop: there is only this one; first training and fine-tuning after a step both call `fit`."""

import math
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from effdl.checkpoint import Checkpoint
from effdl.data.load import Data
from effdl.data.loader import batches, normalize, prepared
from effdl.data_parallel import mean, share, unified, whole_batches
from effdl.distributed import from_main, gathered, is_main, world_size
from effdl.epoch_log import EpochLog
from effdl.errors import RunError
from effdl.measure.accuracy import accuracy, sum_dtype
from effdl.measure.energy import EnergyMeter
from effdl.measure.memory import peak_memory
from effdl.place import Place
from effdl.recipe import Recipe
from effdl.report.progress import Progress
from effdl.seeding import derive_seed
from effdl.training_state import TrainingState


def fit(
    model: nn.Module,
    data: Data,
    recipe: Recipe,
    place: Place,
    *,
    seed: int,
    checkpoint: Checkpoint,
    meter: EnergyMeter,
    display: Progress,
    log: EpochLog,
) -> nn.Module:
    """Train a model in place, from its checkpoint if there is one, and return it.

    The validation split decides what is kept: with `early_stop`, the epoch of the lowest validation loss, else the
    last. With `ema`, the averaged weights are validated and kept. Every epoch ends with a row in `log` and a
    checkpoint. Of several processes each trains on its part of every batch, and the first validates and writes; the
    energy is that of all, the peak memory that of the process that needed most.

    Args:
        seed: everything random follows from it, epoch by epoch.
        checkpoint: where this training stands; a finished one is restored instead of repeated.

    Raises:
        RunError: the loss is not finite.
    """
    torch.manual_seed(derive_seed(seed, "guides"))
    state = TrainingState(place.put(model), recipe, place)
    try:
        rows = state.restore(from_main(checkpoint.load))
        if is_main():
            log.restore(rows)
        display.start(recipe.length, len(rows))
        while not state.finished(rows):
            epoch, began = recipe.first_epoch + len(rows), perf_counter()
            torch.manual_seed(derive_seed(seed, epoch))
            with meter.phase() as used, peak_memory(place.device) as memory, whole_batches():
                row = train_epoch(state, data, epoch, [r["val_loss"] for r in rows if "val_loss" in r], display)
                if data.val is not None:
                    row |= from_main(lambda: validate(state.kept, data, recipe, place))
            used, peak = sum(gathered(used)), largest(gathered(memory.bytes))
            cost = {"duration_s": perf_counter() - began, "energy_kwh": used.energy_kwh, "co2eq_g": used.co2eq_g}
            rows = [*rows, {"epoch": len(rows) + 1, **row, **cost, "memory_peak_bytes": peak}]
            state.remember(rows)
            if is_main():
                log.append(rows[-1])
                checkpoint.save(state.snapshot(rows))
            display.epoch(rows[-1])
    finally:
        state.close()
    display.stop(rows)
    return unified(state.result())


def train_epoch(state: TrainingState, data: Data, epoch: int, losses: list[float], display: Progress) -> dict:
    """One pass over the training split; returns its mean loss, accuracy, speed and last learning rate."""
    recipe, place = state.recipe, state.place
    state.model.train()
    order = torch.randperm(len(data.train))
    drop_last = len(order) >= recipe.batch_size  # a last batch of one image would upset batch norm
    steps = len(order) // recipe.batch_size if drop_last else 1
    dtype = sum_dtype(place.device)
    sums = torch.zeros(2, dtype=dtype, device=place.device)  # loss, correct: read only now and then
    seen, began = 0, perf_counter()
    loader = batches(data.train, recipe.batch_size, order=order, device=place.device, drop_last=drop_last, train=True)
    for index, (images, labels) in enumerate(loader):
        targets = labels
        for augment in recipe.augment:
            images, targets = augment(images, targets)
        images, targets, labels = share(images), share(targets), share(labels)
        factor = recipe.schedule(epoch + (index + 0.5) / steps, recipe.epochs, losses)
        with place.autocast():
            images = normalize(images, data.mean, data.std)
            logits = state.forward(images)
            loss = F.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
            for guide in state.losses:
                loss = guide(images, targets, logits, loss)
        if recipe.penalty:
            loss = loss + recipe.penalty(state.model)
        state.update(loss, factor)
        if recipe.after_update:
            with torch.no_grad():
                recipe.after_update(state.model, (epoch - recipe.first_epoch + (index + 1) / steps) / recipe.length)
        with torch.no_grad():
            sums += torch.stack([loss.to(dtype) * len(labels), (logits.argmax(1) == labels).sum()])
        seen += len(labels)
        if display.due():
            report_batch(display, sums, seen, index + 1, steps, perf_counter() - began)
    sums = mean(sums)
    report_batch(display, sums, seen, steps, steps, perf_counter() - began)
    loss_sum, correct = sums.tolist()
    return {
        "loss": loss_sum / seen,
        "top1": correct / seen,
        "lr": state.lr * factor,
        "images": world_size() * seen,
        "images_per_s": world_size() * seen / (perf_counter() - began),
    }


def largest(values: list[int | None]) -> int | None:
    """The largest value, unknown if one is."""
    return None if None in values else max(values)


def report_batch(display: Progress, sums: Tensor, seen: int, step: int, steps: int, seconds: float) -> None:
    """Show where the epoch stands, and stop the training if its loss is no longer a number."""
    loss, correct = sums.tolist()
    if not math.isfinite(loss):
        raise RunError(
            f"the loss is {loss} at batch {step} of {steps}: lower optimizer.lr, or set clip_norm or warm-up"
        )
    display.batch(step, steps, loss / seen, correct / seen, world_size() * seen / seconds)


def validate(model: nn.Module, data: Data, recipe: Recipe, place: Place) -> dict:
    """Loss and top-1 accuracy on the validation split."""
    measured = accuracy(model, prepared(data.val, data, recipe.eval_batch_size, place.device), (1,))
    if not math.isfinite(measured["loss"]):
        raise RunError(f"the validation loss is {measured['loss']}: lower optimizer.lr, or set clip_norm or warm-up")
    return {"val_loss": measured["loss"], "val_top1": measured["top1"]}
