"""The linear probe against the conditions of its minimum, and against another solver."""

import pytest
import torch
from torch.nn import functional as F

from effdl.measure.linear_probe import linear_probe

GENERATOR = torch.Generator().manual_seed(3)
LABELS, VAL = torch.randint(3, (90,), generator=GENERATOR), torch.randint(3, (60,), generator=GENERATOR)
CENTRES = torch.randn(3, 6, generator=GENERATOR)
TRAIN = 5 + 3 * (CENTRES[LABELS] + torch.randn(90, 6, generator=GENERATOR))
HELD = 5 + 3 * (CENTRES[VAL] + torch.randn(60, 6, generator=GENERATOR))


@pytest.mark.parametrize("penalty", [1.0, 0.01])
def test_the_gradient_is_zero_at_the_minimum(penalty):
    probe = linear_probe(TRAIN, LABELS, HELD, VAL, (penalty,))
    x = (TRAIN.double() - TRAIN.double().mean(0)) / TRAIN.double().std(0, correction=0)
    weight, bias = probe.weight.double().requires_grad_(), probe.bias.double().requires_grad_()
    loss = F.cross_entropy(x @ weight.T + bias, LABELS) + penalty / 2 * weight.square().sum()
    for gradient in torch.autograd.grad(loss, (weight, bias)):
        assert gradient.abs().max() < 1e-4
    torch.testing.assert_close(probe.logits(TRAIN).double(), x @ weight.T + bias, rtol=1e-4, atol=1e-4)


def test_it_finds_what_gradient_descent_finds():
    x = (TRAIN - TRAIN.mean(0)) / TRAIN.std(0, correction=0)
    weight, bias = torch.zeros(3, 6, requires_grad=True), torch.zeros(3, requires_grad=True)
    for _ in range(800):
        loss = F.cross_entropy(x @ weight.T + bias, LABELS) + 0.05 * weight.square().sum()
        for tensor, gradient in zip((weight, bias), torch.autograd.grad(loss, (weight, bias)), strict=True):
            tensor.data -= 0.5 * gradient
    probe = linear_probe(TRAIN, LABELS, HELD, VAL, (0.1,))
    torch.testing.assert_close(probe.weight, weight.detach(), atol=1e-3, rtol=0)


def test_the_penalty_is_chosen_on_the_validation_split():
    alone = {penalty: linear_probe(TRAIN, LABELS, HELD, VAL, (penalty,)) for penalty in (100.0, 0.1, 1e-4)}
    found = {penalty: probe.accuracy(HELD, VAL) for penalty, probe in alone.items()}
    chosen = linear_probe(TRAIN, LABELS, HELD, VAL, tuple(alone))
    assert chosen.accuracy(HELD, VAL) == pytest.approx(max(found.values()), abs=0.02)
    assert chosen.accuracy(TRAIN, LABELS) > 0.6
    equal = linear_probe(TRAIN, LABELS, TRAIN[:1], LABELS[:1], (10.0, 1.0))
    assert equal.penalty == 10.0


def test_units_and_features_that_do_not_vary_are_no_matter():
    plain = linear_probe(TRAIN, LABELS, HELD, VAL)
    constant = torch.full((90, 1), 7.0)
    scaled = linear_probe(
        torch.cat([1000 * TRAIN, constant], 1), LABELS, torch.cat([1000 * HELD, constant[:60]], 1), VAL
    )
    assert scaled.accuracy(torch.cat([1000 * HELD, constant[:60] + 3], 1), VAL) == plain.accuracy(HELD, VAL)
    assert torch.isfinite(scaled.weight).all()
