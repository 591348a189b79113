"""Shortcuts as convolutions: the same values, and nothing that a runtime cannot fuse."""

import pytest
import torch

from effdl.deploy.onnx import to_onnx
from effdl.deploy.shortcuts import as_convolutions, convolution
from effdl.models.resnet import ZeroPadShortcut, resnet


@pytest.mark.parametrize("sources", [None, (3, -1, 0, 2, -1, -1)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [8, 7])
def test_the_convolution_gives_the_same_values(sources, stride, size):
    shortcut = ZeroPadShortcut(4, 6, stride, sources)
    x = torch.randn(3, 4, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(convolution(shortcut)(x), shortcut(x))


def test_a_network_gives_the_same_logits_and_has_neither_slices_nor_pads(tmp_path):
    onnx = pytest.importorskip("onnx")
    torch.manual_seed(0)
    model = resnet(1, 16, 10, depth=8).eval()
    x = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        expected = model(x)
        to_onnx(model, {}, (1, 16, 16), tmp_path / "model.onnx", "fp32")
        assert torch.equal(model(x), expected)
        as_convolutions(model)
        torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-5)
    operators = {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert not operators & {"Slice", "Pad", "Gather"}
