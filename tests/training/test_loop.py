"""The training loop against hand-written references, bit for bit."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.nn import functional as F

from effdl.data.augment import cutmix, mixup
from effdl.data.build import load
from effdl.data.loader import normalized_batches
from effdl.data.source import Images
from effdl.measure.energy import EnergyMeter
from effdl.nn.layers import l1_norm
from effdl.training.callbacks import Callbacks
from effdl.training.checkpoint import Checkpoint
from effdl.training.device import Device
from effdl.training.epoch_log import EpochLog
from effdl.training.loop import fit
from effdl.training.optimizers import sgd
from effdl.training.progress import Progress
from effdl.training.recipe import Recipe
from effdl.training.schedules import constant, one_cycle
from effdl.utils.errors import RunError
from effdl.utils.rows import Rows
from effdl.utils.seeding import derive_seed

CPU = Device(torch.device("cpu"))
OPTIMIZER = partial(sgd, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)
RECIPE = Recipe(epochs=3, batch_size=64, optimizer=OPTIMIZER, schedule=constant)


class Killed(BaseException):
    """Stands for a kill between two epochs."""


class KilledAfter(Progress):
    def __init__(self, epochs: int):
        super().__init__(Console(quiet=True))
        self.limit = epochs

    def epoch_end(self, row: dict) -> None:
        if self.epochs is not None and row["epoch"] == self.limit:
            raise Killed


@pytest.fixture(scope="module")
def data(digits_config):
    return load(digits_config(subset=400))


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(288, 10)
    )


def train(model, data, recipe, folder, device=CPU, callback=None):
    return fit(
        model,
        data,
        recipe,
        device,
        seed=7,
        checkpoint=Checkpoint(folder, 0, "run"),
        meter=EnergyMeter(enabled=False, country=None, pue=1.0),
        callbacks=Callbacks([callback] if callback else []),
        log=EpochLog(Rows(folder / "epochs.jsonl"), "dense", 0),
    )


def reference(data, epochs: int, after_step=lambda model: None) -> nn.Module:
    """The same training written out."""
    model = network()
    vectors = [p for p in model.parameters() if p.ndim < 2]
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    groups = [{"params": matrices, "weight_decay": 1e-3}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True)
    mean, std = (torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (data.mean, data.std))
    for epoch in range(epochs):
        model.train()
        torch.manual_seed(derive_seed(7, epoch))
        order = torch.randperm(len(data.train))
        for start in range(0, len(order) - 63, 64):
            chosen = order[start : start + 64]
            x = data.train.images[chosen] * (1 / std).float() + (-mean / std).float()
            optimizer.zero_grad()
            F.cross_entropy(model(x), data.train.labels[chosen]).backward()
            optimizer.step()
            after_step(model)
    return model


def assert_same(a: nn.Module, b: nn.Module) -> None:
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(x, y), name


def test_fit_is_the_plain_loop(data, tmp_path):
    assert_same(train(network(), data, RECIPE, tmp_path), reference(data, 3))


def test_fit_writes_one_row_per_epoch(data, tmp_path):
    model = train(network(), data, RECIPE, tmp_path)
    rows = Rows(tmp_path / "epochs.jsonl").read()
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(row["stage"] == "dense" and row["lr"] == 0.05 for row in rows)
    with torch.no_grad():
        batches = list(normalized_batches(data.val, data, 50, CPU.torch_device))
        correct = sum((model(x).argmax(1) == y).sum().item() for x, y in batches)
        loss = sum(F.cross_entropy(model(x), y, reduction="sum").item() for x, y in batches)
    assert rows[-1]["val_top1"] == correct / len(data.val)
    assert rows[-1]["val_loss"] == pytest.approx(loss / len(data.val), rel=1e-6)


@pytest.mark.parametrize("killed_after", [1, 2])
@pytest.mark.parametrize("options", [{}, {"ema": 0.9}, {"early_stop": 5}, {"schedule": one_cycle}])
def test_a_resumed_training_ends_bit_identical(data, tmp_path, killed_after, options):
    recipe = Recipe(**{**RECIPE.__dict__, **options})
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = train(network(), data, recipe, tmp_path / "a")
    with pytest.raises(Killed):
        train(network(), data, recipe, tmp_path / "b", callback=KilledAfter(killed_after))
    resumed = train(network(), data, recipe, tmp_path / "b")
    assert_same(whole, resumed)
    losses = [[row["loss"] for row in Rows(tmp_path / part / "epochs.jsonl").read()] for part in "ab"]
    assert losses[0] == losses[1]


def test_a_finished_training_is_not_repeated(data, tmp_path):
    first = train(network(), data, RECIPE, tmp_path)
    before = (tmp_path / "epochs.jsonl").read_bytes()
    again = train(network(), data, RECIPE, tmp_path, callback=KilledAfter(1))
    assert_same(first, again)
    assert (tmp_path / "epochs.jsonl").read_bytes() == before


def test_average_is_the_exponential_moving_average(data, tmp_path):
    average: dict[str, torch.Tensor] = {}

    def update(model: nn.Module) -> None:
        for name, p in model.named_parameters():
            average[name] = average[name].lerp(p.detach(), 1 - 0.9) if name in average else p.detach().clone()

    last = reference(data, 3, update)
    kept = train(network(), data, Recipe(**{**RECIPE.__dict__, "ema": 0.9}), tmp_path)
    for name, p in kept.named_parameters():
        torch.testing.assert_close(p, average[name], rtol=1e-5, atol=1e-7)
    assert torch.equal(kept[1].running_mean, last[1].running_mean)


def test_early_stopping_keeps_the_weights_of_the_lowest_validation_loss(data, tmp_path):
    too_fast = partial(sgd, lr=0.5, momentum=0.9, nesterov=True, weight_decay=0.0)
    recipe = Recipe(epochs=40, batch_size=64, optimizer=too_fast, schedule=constant, early_stop=3)
    model = train(network(), data, recipe, tmp_path)
    rows = Rows(tmp_path / "epochs.jsonl").read()
    losses = [row["val_loss"] for row in rows]
    assert len(rows) < 40
    assert len(losses) - 1 - losses.index(min(losses)) == 3
    with torch.no_grad():
        total = sum(
            F.cross_entropy(model(x), y, reduction="sum").item()
            for x, y in normalized_batches(data.val, data, 250, CPU.torch_device)
        )
    assert total / len(data.val) == pytest.approx(min(losses), rel=1e-6)


def test_clipping_bounds_the_step(data, tmp_path):
    plain = partial(sgd, lr=1.0, momentum=0.0, nesterov=False, weight_decay=0.0)
    recipe = Recipe(epochs=1, batch_size=320, optimizer=plain, schedule=constant, clip_norm=1e-3)
    before, after = network(), train(network(), data, recipe, tmp_path)
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    assert sum(((a - b) ** 2).sum() for a, b in pairs).sqrt().item() == pytest.approx(1e-3, rel=1e-2)


def test_the_l1_penalty_moves_weights_towards_zero_and_leaves_biases(data, tmp_path):
    plain = partial(sgd, lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0)
    recipe = Recipe(epochs=1, batch_size=320, optimizer=plain, schedule=constant)
    free, drawn = tmp_path / "free", tmp_path / "drawn"
    free.mkdir()
    drawn.mkdir()
    models = (
        network(),
        train(network(), data, recipe, free),
        train(network(), data, replace(recipe, penalties=(lambda model: 0.01 * l1_norm(model),)), drawn),
    )
    for old, one, other in zip(*(model.parameters() for model in models), strict=True):
        expected = one - 0.1 * 0.01 * old.sign() if old.ndim > 1 else one
        torch.testing.assert_close(other, expected, rtol=0, atol=1e-6)


def test_a_loss_that_is_not_finite_stops_the_training(data, tmp_path):
    wild = partial(sgd, lr=1e20, momentum=0.9, nesterov=True, weight_decay=0.0)
    with pytest.raises(RunError, match=r"the loss is (nan|inf).*lower optimizer.lr"):
        train(network(), data, Recipe(epochs=2, batch_size=64, optimizer=wild, schedule=constant), tmp_path)


def test_an_overflow_of_fp16_is_called_one(data, tmp_path):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.normal_(model[-1].weight, std=1e5)  # logits beyond 65,504, the same in fp32 are no problem
    recipe = Recipe(**{**RECIPE.__dict__, "epochs": 1})
    train(model, data, recipe, tmp_path)
    (tmp_path / "checkpoint.0.pt").unlink()
    with pytest.raises(RunError, match=r"the loss is (nan|inf) at batch \d of 5: an overflow of fp16.*precision=bf16"):
        train(model, data, recipe, tmp_path, device=Device(torch.device("cpu"), precision="fp16"))


def test_a_validation_loss_that_is_not_finite_stops_the_training(data, tmp_path):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.constant_(model[-1].weight, 1e38)  # finite in training on zeros, not in validation on images
    zeros = replace(data, train=Images(torch.zeros_like(data.train.images), data.train.labels), mean=(0.0,))
    still = partial(sgd, lr=1e-30, momentum=0.0, nesterov=False, weight_decay=0.0)
    with pytest.raises(RunError, match=r"the validation loss is (nan|inf)"):
        train(model, zeros, Recipe(epochs=1, batch_size=64, optimizer=still, schedule=constant), tmp_path)
    assert not (tmp_path / "checkpoint.0.pt").exists()


@pytest.mark.parametrize("augment", [partial(mixup, classes=10, alpha=0.2), partial(cutmix, classes=10, alpha=1.0)])
def test_soft_targets_train(data, tmp_path, augment):
    recipe = Recipe(**{**RECIPE.__dict__, "augment": (augment,), "label_smoothing": 0.1, "epochs": 5})
    train(network(), data, recipe, tmp_path)
    rows = Rows(tmp_path / "epochs.jsonl").read()
    assert rows[-1]["val_top1"] > 0.5


@pytest.mark.parametrize("device", [Device(CPU.torch_device, "bf16"), Device(CPU.torch_device, channels_last=True)])
def test_other_arithmetic_reaches_about_the_same(data, tmp_path, device):
    recipe = Recipe(**{**RECIPE.__dict__, "epochs": 5})
    train(network(), data, recipe, tmp_path, device)
    assert Rows(tmp_path / "epochs.jsonl").read()[-1]["val_top1"] > 0.6


# --- what compression steps add to a training


def schedule_of_position(position: float, epochs: int, losses: list[float]) -> float:
    return 1 - position / epochs


def test_a_training_can_begin_late_on_its_schedule(data, tmp_path):
    recipe = replace(RECIPE, epochs=5, first_epoch=3, schedule=schedule_of_position)
    train(network(), data, recipe, tmp_path)
    rows = Rows(tmp_path / "epochs.jsonl").read()
    assert [row["epoch"] for row in rows] == [1, 2]
    steps = len(data.train) // 64
    assert rows[0]["lr"] == pytest.approx(0.05 * (1 - (3 + (steps - 0.5) / steps) / 5))


def test_a_penalty_is_part_of_the_loss(data, tmp_path):
    plain = partial(sgd, lr=0.5, momentum=0.0, nesterov=False, weight_decay=0.0)
    recipe = replace(RECIPE, epochs=1, batch_size=320, optimizer=plain)
    (tmp_path / "with").mkdir()
    without = train(network(), data, recipe, tmp_path)
    penalised = train(
        network(),
        data,
        replace(recipe, penalties=(lambda model: 0.01 * model[1].weight.abs().sum(),)),
        tmp_path / "with",
    )
    torch.testing.assert_close(without[1].weight - penalised[1].weight, torch.full((8,), 0.5 * 0.01))


def test_after_every_update_the_model_can_be_corrected(data, tmp_path):
    seen = []

    def clip(model: nn.Module, progress: float) -> None:
        seen.append(progress)
        assert not torch.is_grad_enabled()
        model[0].weight.clamp_(-0.1, 0.1)

    model = train(network(), data, replace(RECIPE, after_update=clip), tmp_path)
    assert model[0].weight.abs().max() <= 0.1
    assert seen == pytest.approx([(i + 1) / 15 for i in range(15)])


class Matching(nn.Module):
    """A loss that makes the logits follow its own, trained, constant."""

    def __init__(self, student: nn.Module):
        super().__init__()
        self.constant, self.closed = nn.Parameter(torch.zeros(10)), False
        self.student = [student]

    def forward(self, images, targets, logits, loss):
        assert images.shape[1:] == (1, 8, 8)
        return loss + (logits - self.constant).square().mean()

    def close(self) -> None:
        self.closed = True


def test_a_guide_changes_the_loss_and_trains_along(data, tmp_path):
    made = []

    def make(student: nn.Module) -> nn.Module:
        made.append(Matching(student))
        return made[-1]

    model = network()
    train(model, data, replace(RECIPE, distillation_losses=(make,)), tmp_path)
    assert made[0].student == [model]
    assert made[0].closed
    assert made[0].constant.abs().sum() > 0
    assert not any("constant" in name for name in model.state_dict())


@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_guided_training_resumes_bit_identical_with_its_early_weights(data, tmp_path, killed_after):
    recipe = replace(RECIPE, distillation_losses=(Matching,), keep_epoch=1)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = train(network(), data, recipe, tmp_path / "a")
    with pytest.raises(Killed):
        train(network(), data, recipe, tmp_path / "b", callback=KilledAfter(killed_after))
    assert_same(whole, train(network(), data, recipe, tmp_path / "b"))
    first, second = (Checkpoint(tmp_path / part, 0, "run").load()["early"] for part in "ab")
    one_epoch = train(network(), data, replace(recipe, epochs=1), tmp_path)
    for name, tensor in one_epoch.state_dict().items():
        assert torch.equal(tensor, first[name]), name
        assert torch.equal(tensor, second[name]), name


def test_early_weights_can_be_those_before_training(data, tmp_path):
    train(network(), data, replace(RECIPE, keep_epoch=0), tmp_path)
    early = Checkpoint(tmp_path, 0, "run").load()["early"]
    assert all(torch.equal(tensor, early[name]) for name, tensor in network().state_dict().items())


def test_a_set_smaller_than_a_batch_is_one_batch(data, tmp_path):
    recipe = Recipe(epochs=1, batch_size=5000, optimizer=OPTIMIZER, schedule=constant)
    train(network(), data, recipe, tmp_path)
    assert len(Rows(tmp_path / "epochs.jsonl").read()) == 1


@pytest.mark.slow
def test_compiled_training_reaches_about_the_same(data, tmp_path):
    recipe = Recipe(**{**RECIPE.__dict__, "epochs": 5})
    train(network(), data, recipe, tmp_path, Device(CPU.torch_device, compile=True))
    assert Rows(tmp_path / "epochs.jsonl").read()[-1]["val_top1"] > 0.6


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_trains_float32_weights_in_any_arithmetic(data, tmp_path, cuda, precision):
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train(model, data.to(cuda), RECIPE, tmp_path, device=Device(cuda, precision, channels_last=True))
    assert all(parameter.is_cuda and parameter.dtype == torch.float32 for parameter in model.parameters())
    assert all(not torch.equal(parameter.cpu(), before[name]) for name, parameter in model.named_parameters())


@pytest.mark.cuda
def test_data_and_model_are_moved_to_the_gpu(data, cuda):
    moved = data.to(cuda)
    assert moved.train.images.is_cuda
    assert moved.test.labels.is_cuda
    assert torch.equal(moved.train.images.cpu(), data.train.images)
    assert all(parameter.is_cuda for parameter in Device(cuda, channels_last=True).move(network()).parameters())
