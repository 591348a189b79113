"""Quantization as arithmetic: against PyTorch's own, and the gradients of the paper."""

import math

import pytest
import torch

from effdl.nn.fake_quant import bounds, fake_quantize, round_through, sign_through


def bits(tensor):
    return tensor.detach().contiguous().view(torch.int32)


@pytest.mark.parametrize(
    ("bits", "signed", "expected"),
    [(8, True, (-128, 127)), (8, False, (0, 255)), (2, True, (-2, 1)), (1, False, (0, 1))],
)
def test_bounds(bits, signed, expected):
    assert bounds(bits, signed) == expected


def test_halves_go_to_even_numbers_and_zeros_are_positive():
    x = torch.tensor([-1.5, -0.5, -0.2, -0.0, 0.5, 1.5, 2.5, 8388607.0])
    assert torch.equal(bits(round_through(x)), bits(torch.tensor([-2.0, 0.0, 0.0, 0.0, 0.0, 2.0, 2.0, 8388607.0])))


def test_rounding_is_exact_everywhere():
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 6, 100_000)
    assert torch.equal(round_through(x), x.round())


@pytest.mark.parametrize("zero_point", [0, 17, 255])
def test_the_same_as_pytorch_per_tensor(zero_point):
    """With a power of two for the scale, by which PyTorch's multiplication with the inverse is a division, too."""
    x = torch.randn(10_000, generator=torch.Generator().manual_seed(1)) * 8
    mine = fake_quantize(x, torch.tensor(0.0625), torch.tensor(float(zero_point)), 0, 255)
    assert torch.equal(mine, torch.fake_quantize_per_tensor_affine(x, 0.0625, zero_point, 0, 255))


def test_the_same_as_pytorch_per_channel():
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(2))
    scale = torch.tensor([0.125, 0.03125, 0.5, 0.0078125])
    reference = torch.fake_quantize_per_channel_affine(x, scale, torch.zeros(4, dtype=torch.int32), 0, -127, 127)
    assert torch.equal(fake_quantize(x, scale.view(4, 1, 1, 1), 0, -127, 127), reference)


def test_values_are_codes_times_the_scale_and_are_their_own_quantization():
    x = torch.randn(10_000, generator=torch.Generator().manual_seed(3))
    scale = torch.tensor(0.0123)
    once = fake_quantize(x, scale, 0, -127, 127)
    codes = (once / scale).round()
    assert torch.equal(codes * scale, once)
    assert codes.unique().numel() == 255
    assert torch.equal(fake_quantize(once, scale, 0, -127, 127), once)


def test_extreme_values_are_clipped():
    x = torch.tensor([float("inf"), -float("inf"), 3e38, -3e38])
    assert torch.equal(fake_quantize(x, torch.tensor(1e-6), 0, -8, 7), torch.tensor([7.0, -8.0, 7.0, -8.0]) * 1e-6)


def test_half_precision_activations_meet_their_full_precision_scale():
    x = torch.tensor([1.0, 100.3, 254.9], dtype=torch.bfloat16)
    scale = torch.tensor(1.00390625)  # 257/256: not a bfloat16
    assert torch.equal(fake_quantize(x, scale, 0, 0, 255), (x.float() / scale).round() * scale)


def test_gradients_are_those_of_learned_step_sizes():
    """Esser et al. 2020, equations 3 and 5 and section 2.2, computed by hand."""
    x = torch.tensor([-9.0, -1.3, 0.2, 0.8, 2.6, 50.0], requires_grad=True)
    scale = torch.tensor(0.5, requires_grad=True)
    low, high = -8, 7
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    (fake_quantize(x, scale, 0, low, high) * weights).sum().backward()
    assert torch.equal(x.grad, torch.tensor([0.0, 2.0, 3.0, 4.0, 5.0, 0.0]))  # passes where it is not clipped
    inside = [-2.6, 0.4, 1.6, 5.2]  # x / scale
    by_step = [low, *(round(value) - value for value in inside), high]
    expected = sum(w * d for w, d in zip(weights.tolist(), by_step, strict=True)) / math.sqrt(6 * high)
    assert scale.grad.item() == pytest.approx(expected, rel=1e-6)


def test_each_channel_s_step_has_the_gradient_of_its_own_weights():
    x = torch.randn(3, 10, generator=torch.Generator().manual_seed(4))
    together = torch.tensor([[0.1], [0.2], [0.3]], requires_grad=True)
    fake_quantize(x, together, 0, -8, 7).sum().backward()
    for row, gradient in zip(range(3), together.grad, strict=True):
        alone = together.detach()[row].clone().requires_grad_()
        fake_quantize(x[row], alone, 0, -8, 7).sum().backward()
        assert torch.allclose(alone.grad, gradient)


def test_a_fixed_scale_has_no_gradient():
    x = torch.randn(5, requires_grad=True)
    scale = torch.tensor(0.1)
    fake_quantize(x, scale, 0, -8, 7).sum().backward()
    assert scale.grad is None


def test_signs_are_one_and_minus_one_and_the_gradient_passes_up_to_one():
    x = torch.tensor([-3.0, -1.0, -0.5, -0.0, 0.0, 1e-30, 1.0, 1.0001, math.inf], requires_grad=True)
    given = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    found = sign_through(x)
    found.backward(given)
    assert found.tolist() == [-1, -1, -1, 1, 1, 1, 1, 1, 1]
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 6, 7, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_signs_keep_the_type(dtype):
    x = torch.randn(1000, generator=torch.Generator().manual_seed(3)).to(dtype)
    assert sign_through(x).dtype == dtype
    assert torch.equal(sign_through(x), x.sign())


def test_no_sign_hides_what_is_no_number():
    assert sign_through(torch.tensor([math.nan])).isnan().all()


@pytest.mark.cuda
def test_a_gpu_rounds_to_the_same_codes(cuda):
    x = torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    x = torch.cat([x, torch.arange(-20, 20) * 0.125])  # halves between two codes
    scale, low, high = torch.tensor(0.25), *bounds(4, signed=True)
    expected = fake_quantize(x, scale, 0.0, low, high)
    assert torch.equal(fake_quantize(x.to(cuda), scale.to(cuda), 0.0, low, high).cpu(), expected)
