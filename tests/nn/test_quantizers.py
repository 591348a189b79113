"""Quantized activations."""

import pytest
import torch

from effdl.nn.quantizers import ActivationQuantizer


def quantizer(bits, signed, scale, zero_point):
    made = ActivationQuantizer(bits, signed)
    with torch.no_grad():
        made.scale.fill_(scale)
        made.zero_point.fill_(zero_point)
    return made


@pytest.mark.parametrize(
    ("signed", "zero_point", "expected"),
    [(False, 0, [0.0, 0.0, 0.5, 7.5]), (False, 4, [-2.0, -1.0, 0.5, 5.5]), (True, 0, [-4.0, -1.0, 0.5, 3.5])],
)
def test_four_bits_of_a_half(signed, zero_point, expected):
    values = quantizer(4, signed, 0.5, zero_point)(torch.tensor([-100.0, -1.1, 0.4, 100.0]))
    assert torch.equal(values, torch.tensor(expected))


def test_zero_stays_zero_whatever_the_zero_point():
    for zero_point in (0, 100, 255):
        assert quantizer(8, False, 0.037, zero_point)(torch.zeros(2, 3)).view(torch.int32).eq(0).all()


def test_the_same_as_pytorch():
    x = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(0)) * 3
    reference = torch.fake_quantize_per_tensor_affine(x, 0.03125, 77, 0, 255)
    assert torch.equal(quantizer(8, False, 0.03125, 77)(x), reference)


def test_its_state_dict_has_scale_and_zero_point():
    other = ActivationQuantizer(8, signed=False)
    other.load_state_dict(quantizer(8, False, 0.25, 9).state_dict())
    assert (other.scale.item(), other.zero_point.item()) == (0.25, 9.0)


def test_training_learns_the_scale():
    learned = quantizer(8, True, 0.5, 0)
    learned(torch.randn(100)).pow(2).sum().backward()
    assert learned.scale.grad != 0
