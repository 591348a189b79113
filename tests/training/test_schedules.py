"""Schedules against their formulas and against torch.optim.lr_scheduler."""

import math
import random

import pytest
import torch
from torch.optim import lr_scheduler

from effdl.training.schedules import constant, cosine, one_cycle, plateau, ramp, step

NO_LOSSES = []


def optimizer(lr=1.0):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def followed(scheduler, count):
    """The learning rates that a scheduler of PyTorch gives at 0 ... count - 1."""
    rates = []
    for _ in range(count):
        rates.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return rates


def test_ramp():
    assert [ramp(epoch, 4) for epoch in (0, 1, 2, 3.5, 4, 100)] == [0, 0.25, 0.5, 0.875, 1, 1]
    assert ramp(0, 0) == ramp(0, 0.0) == 1


def test_constant():
    assert {constant(epoch / 7, 3, NO_LOSSES) for epoch in range(21)} == {1.0}
    assert constant(0.5, 3, NO_LOSSES, warmup=2) == 0.25


def test_a_warm_up_is_pytorch_s_linear_one():
    torch_s = followed(lr_scheduler.LinearLR(optimizer(), start_factor=0.2, total_iters=4), 8)
    assert [constant(epoch + 1, 8, NO_LOSSES, warmup=5) for epoch in range(8)] == pytest.approx(torch_s)


@pytest.mark.parametrize("gamma", [0.1, 0.5])
def test_step_is_pytorch_s(gamma):
    torch_s = followed(lr_scheduler.MultiStepLR(optimizer(), [10, 15], gamma), 20)
    assert [step(epoch, 20, NO_LOSSES, gamma=gamma) for epoch in range(20)] == pytest.approx(torch_s)


def test_step_milestones():
    factors = [step(epoch / 2, 5, NO_LOSSES, milestones=[0.5], gamma=0.25) for epoch in range(10)]
    assert factors == [1] * 5 + [0.25] * 5
    assert step(3, 10, NO_LOSSES, milestones=[]) == 1
    assert step(9, 10, NO_LOSSES, milestones=[0.9, 0.1]) == pytest.approx(0.01)
    assert step(1, 10, NO_LOSSES, warmup=4, milestones=[0.1]) == pytest.approx(0.025)


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_cosine_is_pytorch_s(final):
    torch_s = followed(lr_scheduler.CosineAnnealingLR(optimizer(), T_max=30, eta_min=final), 31)
    assert [cosine(epoch, 30, NO_LOSSES, final=final) for epoch in range(31)] == pytest.approx(torch_s, abs=1e-12)


def test_cosine():
    assert cosine(0, 10, NO_LOSSES) == 1
    assert cosine(5, 10, NO_LOSSES) == pytest.approx(0.5)
    assert cosine(10, 10, NO_LOSSES, final=0.2) == pytest.approx(0.2)
    assert cosine(11, 10, NO_LOSSES, final=0.2) == pytest.approx(0.2)
    for epoch in (2.5, 3, 7.1):
        angle = math.pi * (epoch - 2) / 8
        expected = 0.1 + 0.9 * (1 + math.cos(angle)) / 2
        assert cosine(epoch, 10, NO_LOSSES, final=0.1, warmup=2) == pytest.approx(expected)
    assert cosine(0.5, 10, NO_LOSSES, warmup=2) == 0.25
    assert cosine(2, 10, NO_LOSSES, warmup=2) == 1


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_warm_up_as_long_as_the_training(epochs):
    for warmup in (epochs, epochs + 1):
        factors = [cosine(epochs * i / 10, epochs, NO_LOSSES, warmup=warmup) for i in range(10)]
        assert factors == pytest.approx([epochs * i / 10 / warmup for i in range(10)])


@pytest.mark.parametrize("peak", [0.25, 0.3])
def test_one_cycle_is_pytorch_s(peak):
    steps = 40
    # PyTorch puts the peak at pct_start * total_steps - 1 and the end at total_steps - 1, and starts above zero.
    reference = lr_scheduler.OneCycleLR(
        optimizer(),
        max_lr=1.0,
        total_steps=steps + 1,
        pct_start=(peak * steps + 1) / (steps + 1),
        anneal_strategy="linear",
        cycle_momentum=False,
        div_factor=1e9,
    )
    torch_s = followed(reference, steps)
    ours = [one_cycle(index / 4, steps // 4, NO_LOSSES, peak=peak) for index in range(steps)]
    assert ours == pytest.approx(torch_s, abs=1e-8)


def test_one_cycle():
    assert [one_cycle(epoch, 8, NO_LOSSES) for epoch in (0, 1, 2, 5, 8, 9)] == [0, 0.5, 1, 0.5, 0, 0]
    assert [one_cycle(epoch, 8, NO_LOSSES, peak=0.0, final=0.5) for epoch in (0, 4, 8)] == [1, 0.75, 0.5]
    assert one_cycle(0.5, 1, NO_LOSSES, peak=0.5) == 1


def random_losses(seed, count=60):
    """Falling in jumps, with repeats: new lows, equals and rises all occur."""
    generator = random.Random(seed)
    return [round(2 / (1 + 0.05 * i) + generator.choice([0, 0.1, -0.1, 0.3]), 1) for i in range(count)]


@pytest.mark.parametrize("patience", [0, 1, 2, 5])
@pytest.mark.parametrize("seed", range(5))
def test_plateau_is_pytorch_s(patience, seed):
    losses = random_losses(seed)
    reference = optimizer()
    scheduler = lr_scheduler.ReduceLROnPlateau(reference, factor=0.5, patience=patience, threshold=0.0, eps=0.0)
    for epoch, loss in enumerate(losses):
        assert plateau(epoch, 60, losses[:epoch], patience=patience, gamma=0.5) == pytest.approx(
            reference.param_groups[0]["lr"]
        )
        scheduler.step(loss)


def test_plateau():
    assert plateau(0, 10, []) == 1
    losses = [1.0, 0.9, 0.9, 0.9, 0.9]
    assert [plateau(0, 10, losses[:n], patience=2) for n in range(6)] == [1, 1, 1, 1, 1, 0.1]
    assert plateau(0, 10, [1.0, 2, 2, 2, 2], patience=1) == pytest.approx(0.01)
    assert plateau(0, 10, [1.0, math.nan, math.nan], patience=1) == 0.1
    assert plateau(1, 10, losses, patience=2, warmup=4) == pytest.approx(0.025)


@pytest.mark.parametrize("schedule", [constant, step, cosine, one_cycle, plateau])
def test_factors_lie_between_0_and_1_and_are_pure(schedule):
    losses = tuple(random_losses(0, 5))
    for index in range(101):
        factor = schedule(index / 10, 10, losses)
        assert 0 <= factor <= 1
        assert factor == schedule(index / 10, 10, losses)
