import pytest
import torch
from torch import nn

from effdl.models.resnet import BasicBlock, ZeroPadShortcut, resnet, resnet18
from effdl.utils.errors import UserError


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def closed_form(depth, widths=(16, 32, 64)):
    """Parameters of He et al. 2016, section 4.2: 2n 3x3 convolutions per stage, each with a batch norm."""
    convolutions, inputs = [(3, widths[0])], widths[0]
    for outputs in widths:
        for _ in range((depth - 2) // 3):
            convolutions.append((inputs, outputs))
            inputs = outputs
    return sum(9 * i * o + 2 * o for i, o in convolutions) + (widths[-1] + 1) * 10


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_parameters_are_those_of_table_6(depth, millions):
    count = parameters(resnet(3, 32, 10, depth=depth))
    assert count == closed_form(depth)
    assert count / 1e6 == pytest.approx(millions, rel=0.03)


def test_resnet8_follows_the_same_formula():
    assert parameters(resnet(3, 32, 10, depth=8)) == closed_form(8)


def test_resnet20_has_269722_parameters():
    assert parameters(resnet(3, 32, 10)) == 269_722


@pytest.mark.parametrize("width", [0.25, 0.6, 2.0])
def test_width_scales_the_channels(width):
    widths = [round(base * width) for base in (16, 32, 64)]
    assert parameters(resnet(3, 32, 10, width=width)) == closed_form(20, widths)


def test_blocks_and_widths_of_stages():
    assert parameters(resnet(3, 32, 10, blocks=[3, 3, 3], widths=[16, 32, 64])) == 269_722
    assert parameters(resnet(3, 32, 10, widths=[8, 24, 32])) == closed_form(20, (8, 24, 32))
    model = resnet(3, 32, 10, blocks=[2, 3, 3], widths=[16, 32, 64], conv="separable")
    weights = sum(p.numel() for p in model.parameters() if p.ndim > 1)
    pairs = [16] * 4 + [16] + [32] * 5 + [32] + [64] * 5, [16] * 4 + [32] * 6 + [64] * 6
    assert weights == 3 * 16 * 9 + sum(9 * i + i * o for i, o in zip(*pairs, strict=True)) + 64 * 10
    four = resnet(1, 8, 10, blocks=[1, 1, 2, 1], widths=[4, 4, 8, 8])
    assert four(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    blocks = [module for module in four.modules() if isinstance(module, BasicBlock)]
    assert [block.conv1.stride[0] for block in blocks] == [1, 2, 2, 1, 2]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"blocks": [2, 3]}, r"model.blocks=\[2, 3\] are 2 stages, model.widths=\[16, 32, 64\] 3"),
        ({"widths": [16, 8, 64]}, r"model.widths=\[16, 8, 64\]: allowed are numbers that do not decrease"),
    ],
)
def test_stages_that_do_not_fit(keys, message):
    with pytest.raises(UserError, match=message):
        resnet(3, 32, 10, **keys)


def test_zero_pad_shortcut_subsamples_and_appends_zeros():
    x = torch.randn(2, 3, 5, 5)
    out = ZeroPadShortcut(3, 7, 2)(x)
    assert out.shape == (2, 7, 3, 3)
    assert torch.equal(out[:, :3], x[:, :, ::2, ::2])
    assert out[:, 3:].abs().max() == 0


def test_no_relu_module_is_used_twice():
    calls = []
    model = resnet(3, 32, 10, depth=8)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda module, *_: calls.append(module))
    model(torch.zeros(2, 3, 32, 32))
    assert len(calls) == len(set(calls)) == 7


def test_resnet18_has_11173962_parameters():
    assert parameters(resnet18(3, 32, 10)) == 11_173_962


def test_resnet18_computes_what_torchvision_does_with_a_small_stem():
    import torchvision

    reference = torchvision.models.resnet18(num_classes=10)
    reference.conv1, reference.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    model = resnet18(3, 32, 10)
    keys = [key for key in reference.state_dict() if "num_batches" not in key]
    mine = [key for key in model.state_dict() if "num_batches" not in key]
    state = reference.state_dict()
    model.load_state_dict({own: state[key] for own, key in zip(mine, keys, strict=True)}, strict=False)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images), reference.eval()(images))


def test_resnet18_halves_with_its_width():
    convolutions = [m.out_channels for m in resnet18(3, 32, 10, width=0.5).modules() if isinstance(m, nn.Conv2d)]
    assert min(convolutions) == 32
    assert max(convolutions) == 256


def test_resnet18_has_eight_blocks():
    assert sum(isinstance(module, BasicBlock) for module in resnet18(1, 8, 10)) == 8


def test_the_shortcut_with_the_usual_sources_computes_the_same():
    x = torch.randn(2, 3, 5, 5)
    usual, told = ZeroPadShortcut(3, 7, 2), ZeroPadShortcut(3, 7, 2, [0, 1, 2, -1, -1, -1, -1])
    assert torch.equal(usual(x), told(x))
    assert not usual.state_dict()
    assert not told.state_dict()


def test_the_shortcut_takes_any_channels():
    x = torch.randn(2, 3, 4, 4)
    out = ZeroPadShortcut(3, 5, 2, [-1, 2, 0, -1, 2])(x)
    assert torch.equal(out[:, [1, 2, 4]], x[:, [2, 0, 2], ::2, ::2])
    assert out[:, [0, 3]].abs().max() == 0
    for sources in ([0, 1], [0, 1, 2, 3, -1], [0, 1, 2, -2, -1]):
        with pytest.raises(ValueError, match="sources for 5 outputs of 3 inputs"):
            ZeroPadShortcut(3, 5, 2, sources)
