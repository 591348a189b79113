"""The training loop: there is only this one; first training and fine-tuning after a step both call `fit`.

::

    restore the checkpoint, if there is one
    until all epochs are done, or early stopping has run out of patience:
        freeze what does not learn in this epoch
        for every batch: augment, forward, loss (labels, distillation losses, penalty), backward, step, after_update
        validate
    (without labels: an objective of the features is the loss, and neighbours validate)
        append the epoch's row, save a checkpoint
    return the weights that are kept: the last, the averaged, or those of the lowest validation loss
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from time import perf_counter

import torch
from torch import Tensor, nn

from effdl.data.build import Data
from effdl.data.loader import batches, normalize, normalized_batches
from effdl.measure.accuracy import accuracy, sum_dtype
from effdl.measure.energy import EnergyMeter, of_all_processes
from effdl.measure.memory import peak_memory
from effdl.training.callbacks import Batch, Callbacks
from effdl.training.checkpoint import Checkpoint
from effdl.training.device import Device
from effdl.training.epoch_log import EpochLog
from effdl.training.flops import step_flops
from effdl.training.label_loss import label_loss
from effdl.training.objective import stacked
from effdl.training.recipe import Recipe
from effdl.training.remedy import SLOWER, remedy
from effdl.training.representation import DRAWN, drawings, evenly, quality
from effdl.training.state import TrainingState
from effdl.utils.data_parallel import mean, share, sync_batch_statistics, unified
from effdl.utils.distributed import from_main, gathered, is_main, world_size
from effdl.utils.errors import RunError
from effdl.utils.seeding import derive_seed

_READ_INTERVAL_S = 0.25


def fit(
    model: nn.Module,
    data: Data,
    recipe: Recipe,
    device: Device,
    *,
    seed: int,
    checkpoint: Checkpoint,
    meter: EnergyMeter,
    callbacks: Callbacks,
    log: EpochLog,
    flops_before: float = 0.0,
) -> nn.Module:
    """Train a model in place, from its checkpoint if there is one, and return it.

    The validation split decides what is kept: with `early_stop`, the epoch of the lowest validation loss, else the
    last. With `ema`, the averaged weights are validated and kept. Every epoch ends with a row in `log` and a
    checkpoint. Of several processes each trains on its part of every batch, and the first validates and writes; the
    energy is that of all, the peak memory that of the process that needed most.

    Args:
        seed: everything random follows from it, epoch by epoch.
        checkpoint: where this training stands; a finished one is restored instead of repeated.
        flops_before: spent on this training just now, before it; the first epoch is charged with them.

    Raises:
        RunError: the loss is not finite.
    """
    torch.manual_seed(derive_seed(seed, "guides"))  # the distillation losses' own; the word decides the numbers
    state = TrainingState(device.move(model), recipe, device)
    try:
        rows = state.restore(from_main(checkpoint.load))
        if is_main():
            for row in log.restore(rows):
                callbacks.epoch_end(row)
        callbacks.training_begin(recipe.length, len(rows))
        counted: dict[int, float | None] = {}  # FLOPs of a step per image, by the number of parameters that learn
        while not state.finished(rows):
            state.begin_epoch(len(rows))
            if (learning := state.freezing.count) not in counted:
                counted[learning] = step_flops(
                    state.model, state.distillation_losses, data.input_shape, state.objective
                )
            epoch = recipe.first_epoch + len(rows)
            torch.manual_seed(derive_seed(seed, epoch))
            with meter.phase() as used, peak_memory(device.torch_device) as memory, sync_batch_statistics():
                row = _train_epoch(state, data, epoch, [r["val_loss"] for r in rows if "val_loss" in r], callbacks)
                row |= from_main(partial(_validate, state, data, rows))
            cost, peak = asdict(of_all_processes(used)), _largest(gathered(memory.bytes))
            spent = None if counted[learning] is None else counted[learning] * row["images"] + flops_before
            cost["training_flops"], flops_before = spent, 0.0
            row |= {"params_trainable": learning}
            rows = [*rows, {"epoch": len(rows) + 1, **row, **cost, "memory_peak_bytes": peak}]
            state.remember(rows)
            if is_main():
                row = log.append(rows[-1])
                checkpoint.save(state.snapshot(rows))
                callbacks.epoch_end(row)  # at the end: what is told can be resumed
                if state.finished(rows) and hasattr(state.objective, "draw"):
                    shown = evenly(data.val, DRAWN)
                    callbacks.drawn(drawings(state.kept, state.objective, shown, data, recipe.augment[0], device))
    except BaseException:
        callbacks.training_end([])
        raise
    finally:
        state.close()
    callbacks.training_end(rows)
    return unified(state.result())


def _train_epoch(state: TrainingState, data: Data, epoch: int, losses: list[float], callbacks: Callbacks) -> dict:
    """One pass over the training split; returns its mean loss, accuracy, speed and last learning rate."""
    recipe, device = state.recipe, state.device
    state.freezing.train()
    order = torch.randperm(len(data.train))
    all_labelled = bool((data.train.labels >= 0).all())
    drop_last = len(order) >= recipe.batch_size  # a last batch of one image would upset batch norm
    steps = len(order) // recipe.batch_size if drop_last else 1
    dtype = sum_dtype(device.torch_device)
    sums = torch.zeros(2, dtype=dtype, device=device.torch_device)  # loss, correct: read only now and then
    labelled = 1.0 if all_labelled else _labelled_part(data.train.labels, order[: steps * recipe.batch_size])
    updates = [update for update in (recipe.after_update, getattr(state.objective, "after_update", None)) if update]
    seen, began = 0, perf_counter()
    due = began  # reading the sums makes a GPU wait
    loader = batches(
        data.train, recipe.batch_size, order=order, device=device.torch_device, drop_last=drop_last, train=True
    )

    def batch(sums: Tensor) -> Batch:
        found = _batch_of(sums, seen, labelled, index + 1, steps, perf_counter() - began)
        found = found._replace(top1=None) if state.objective else found
        if not math.isfinite(found.loss):
            losses = state.distillation_losses
            exact = partial(_loss, recipe, state.model, losses, state.objective, images, targets, all_labelled)
            cause = remedy(state.model, device.precision, lambda: exact()[0])
            raise RunError(f"the loss is {found.loss} at batch {found.step} of {steps}: {cause}")
        return found

    for index, (images, labels) in enumerate(loader):
        targets = labels
        for augment in recipe.augment:
            images, targets = augment(images, targets)
        images, targets, labels = share(images), share(targets), share(labels)
        factor = recipe.schedule(epoch + (index + 0.5) / steps, recipe.epochs, losses)
        with device.autocast():
            images = stacked(normalize(images, data.mean, data.std))
            loss, logits = _loss(recipe, state.forward, state.losses, state.minimized, images, targets, all_labelled)
        for penalty in recipe.penalties:
            loss = loss + penalty(state.model)
        state.update(loss, factor)
        with torch.no_grad():
            progress = (epoch - recipe.first_epoch + (index + 1) / steps) / recipe.length
            for after_update in updates:
                after_update(state.model, progress)
            correct = torch.zeros_like(sums[1]) if state.objective else (logits.argmax(1) == labels).sum()
            sums += torch.stack([loss.to(dtype) * len(labels), correct])
        seen += len(labels)
        if perf_counter() >= due:
            callbacks.batch_end(batch(sums))
            due = perf_counter() + _READ_INTERVAL_S
    last = batch(mean(sums))
    callbacks.batch_end(last)
    return {
        "loss": last.loss,
        "top1": last.top1,
        "lr": state.lr * factor,
        "images": world_size() * seen,
        "images_per_s": world_size() * seen / (perf_counter() - began),
    }


def _loss(
    recipe: Recipe,
    forward: Callable,
    losses: Iterable[Callable],
    objective: Callable | None,
    images: Tensor,
    targets: Tensor,
    all_labelled: bool,
) -> tuple[Tensor, Tensor]:
    """The loss of a batch of normalized images by labels and distillation losses, and its logits (N, K).

    With an objective that is the loss, of features (N, D), which are returned for logits.
    """
    logits = forward(images)
    if objective:
        return objective(images, targets, logits), logits
    loss = label_loss(logits, targets, recipe.label_smoothing, all_labelled=all_labelled)
    for distillation_loss in losses:
        loss = distillation_loss(images, targets, logits, loss)
    return loss, logits


def _largest(values: list[int | None]) -> int | None:
    """The largest value, unknown if one is."""
    return None if None in values else max(values)


def _labelled_part(labels: Tensor, chosen: Tensor) -> float:
    """Which part of the images of an epoch has a label; above 0, that nothing is divided by it."""
    known = (labels.cpu()[chosen] >= 0).sum().item()
    return max(known, 1) / len(chosen)


def _batch_of(sums: Tensor, seen: int, labelled: float, step: int, steps: int, seconds: float) -> Batch:
    """Where the epoch stands after the batch `step` of `steps`.

    Args:
        sums: of the loss and of the correct answers over the images seen, (2,).
        labelled: which part of the epoch's images has a label, and so an answer that can be correct.
    """
    loss, correct = sums.tolist()
    top1 = min(1.0, correct / seen / labelled)  # in the middle of an epoch the part is not exactly that of those seen
    return Batch(step, steps, loss / seen, top1, world_size() * seen / seconds)


def _validate(state: TrainingState, data: Data, rows: list[dict]) -> dict:
    """Loss and top-1 accuracy on the validation split, if there is one; without labels the quality of features."""
    size, device = state.recipe.eval_batch_size, state.device
    if state.objective:
        return quality(state.kept, state.objective, data, size, device, rows)
    if data.val is None:
        return {}
    found = accuracy(state.kept, normalized_batches(data.val, data, size, device.torch_device), (1,))
    if not math.isfinite(found["loss"]):
        raise RunError(f"the validation loss is {found['loss']}: {SLOWER}")
    return {"val_loss": found["loss"], "val_top1": found["top1"]}
