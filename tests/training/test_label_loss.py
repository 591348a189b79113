"""The loss of labels where some are missing, and trainings on such images."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from effdl.compression.distill.logits import SoftTargets
from effdl.data.augment import cutmix, mixup
from effdl.data.build import load
from effdl.measure.energy import EnergyMeter
from effdl.training.callbacks import Callbacks
from effdl.training.checkpoint import Checkpoint
from effdl.training.device import Device
from effdl.training.epoch_log import EpochLog
from effdl.training.label_loss import label_loss
from effdl.training.loop import fit
from effdl.training.optimizers import sgd
from effdl.training.recipe import Recipe
from effdl.training.schedules import constant
from effdl.utils.rows import Rows

LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, -1, 3, 2, -1, 1])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_an_image_without_a_label_adds_nothing_and_counts(smoothing):
    found = label_loss(LOGITS, LABELS, smoothing, all_labelled=False)
    known = LABELS >= 0
    expected = F.cross_entropy(LOGITS[known], LABELS[known], label_smoothing=smoothing) * 4 / 6
    torch.testing.assert_close(found, expected)
    none = label_loss(LOGITS, torch.full((6,), -1), smoothing, all_labelled=False)
    assert none.item() == 0


def test_with_all_labels_it_is_the_cross_entropy():
    labels = LABELS.clamp(min=0)
    for all_labelled in (True, False):
        found = label_loss(LOGITS, labels, 0.1, all_labelled=all_labelled)
        torch.testing.assert_close(found, F.cross_entropy(LOGITS, labels, label_smoothing=0.1))


@pytest.mark.parametrize("blend", [mixup, cutmix])
def test_blended_images_keep_the_part_that_has_a_label(blend):
    torch.manual_seed(0)
    images = torch.zeros(6, 1, 8, 8, dtype=torch.uint8)
    _, targets = blend(images, LABELS, classes=4, alpha=1.0)
    assert (targets.sum(dim=1) <= 1 + 1e-6).all()
    assert targets.sum(dim=1).min() < 0.999
    found = label_loss(LOGITS, targets, 0.0, all_labelled=False)
    torch.testing.assert_close(found, -(targets * LOGITS.log_softmax(1)).sum(1).mean())


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))


def train(folder, data, epochs=6, **options):
    recipe = Recipe(epochs, 32, partial(sgd, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.0), constant)
    log = EpochLog(Rows(folder / "epochs.jsonl"), "dense", 0)
    parts = {"seed": 7, "checkpoint": Checkpoint(folder, 0, "run"), "callbacks": Callbacks(), "log": log}
    meter = EnergyMeter(enabled=False, country=None, pue=1.0)
    return fit(network(), data, replace(recipe, **options), Device(torch.device("cpu")), meter=meter, **parts)


def test_a_student_learns_from_its_teacher_what_images_without_labels_are(digits_config, tmp_path):
    everything, few = load(digits_config()), load(digits_config(labelled=20))
    folders = [tmp_path / name for name in ("teacher", "alone", "taught")]
    for folder in folders:
        folder.mkdir()
    teacher = train(folders[0], everything, epochs=10).eval()
    train(folders[1], few)
    losses = (lambda student: SoftTargets(teacher, 4.0, 0.9),)
    blended = partial(mixup, classes=10, alpha=0.2)
    train(folders[2], few.with_unlabelled(), distillation_losses=losses, augment=(blended,))
    first, alone, taught = (Rows(folder / "epochs.jsonl").read()[-1] for folder in folders)
    assert taught["images"] == first["images"] > alone["images"]
    assert taught["val_top1"] > alone["val_top1"] + 0.1
    assert 0.2 < taught["top1"] <= 1  # of the 20 labelled images: of all it would be below 0.02
