"""The QDQ form of a quantized model: QuantizeLinear and DequantizeLinear around float operators.

The file defines exactly the values that the model computes, and the runtime replaces each group of such nodes by an
integer kernel if it has one. The modules here represent these operators while a model is exported.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from effdl.nn.fake_quant import QuantGrid
from effdl.nn.quantizers import ActivationQuantizer, activation_quantizers
from effdl.utils.errors import RunError


def fits_int8(model: nn.Module, grids: dict[str, QuantGrid]) -> bool:
    """Whether ONNX Runtime can compute with a model's integers: weights and activations of at most 8 bits.

    Activations need all 8 bits, since QuantizeLinear saturates at those of uint8; weights may use fewer.
    """
    quantizers = list(activation_quantizers(model))
    weights_fit = bool(grids) and all(grid.bits <= 8 for grid in grids.values())
    return weights_fit and bool(quantizers) and all(module.bits == 8 for module in quantizers)


class _QuantizeDequantize(nn.Module):
    """An 8-bit `ActivationQuantizer` as a pair of ONNX operators with the same values.

    The codes are always uint8: signed codes c with zero point z are the unsigned codes c + 128 with zero point z + 128,
    and x86 processors multiply unsigned activations by signed weights.
    """

    def __init__(self, quantizer: ActivationQuantizer):
        super().__init__()
        zero_point = quantizer.zero_point + (128 if quantizer.signed else 0)
        self.register_buffer("scale", quantizer.scale.detach().clone())
        self.register_buffer("zero_point", zero_point.to(torch.uint8))

    def forward(self, x: Tensor) -> Tensor:
        onnx_op, parameters = torch.onnx.ops.symbolic, (self.scale, self.zero_point)
        codes = onnx_op("QuantizeLinear", (x, *parameters), dtype=torch.uint8, shape=x.shape)
        return onnx_op("DequantizeLinear", (codes, *parameters), dtype=torch.float32, shape=x.shape)


class _Dequantize(nn.Module):
    """Parametrization that turns an int8 weight into its float values by an ONNX operator."""

    def __init__(self, scale: Tensor):
        super().__init__()
        self.register_buffer("scale", scale.flatten() if scale.numel() > 1 else scale.reshape(()))
        # Zeros are the default, but ONNX Runtime multiplies integer matrices only if zero points are given.
        self.register_buffer("zero_point", torch.zeros_like(self.scale, dtype=torch.int8))

    def forward(self, codes: Tensor) -> Tensor:
        attributes = {"axis": 0} if self.scale.dim() else {}
        return torch.onnx.ops.symbolic(
            "DequantizeLinear",
            (codes, self.scale, self.zero_point),
            attributes,
            dtype=torch.float32,
            shape=codes.shape,
        )


def quantize_activations(model: nn.Module) -> None:
    """Replace the activation quantizers of a model by ONNX operators; in place."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, ActivationQuantizer):
                setattr(parent, name, _QuantizeDequantize(child))


def quantize_weights(model: nn.Module, grids: dict[str, QuantGrid]) -> None:
    """Replace the weights that lie on integer grids by their codes; in place.

    Raises:
        RunError: a weight is not exactly its codes times its scale, or its scale is not per tensor or per output.
    """
    for name, grid in grids.items():
        module_name, _, attribute = name.rpartition(".")
        module = model.get_submodule(module_name)
        weight = getattr(module, attribute).detach()
        codes, scale = _codes_of(weight, grid.scale.to(weight), name)
        setattr(module, attribute, nn.Parameter(codes, requires_grad=False))
        parametrize.register_parametrization(module, attribute, _Dequantize(scale), unsafe=True)


def _codes_of(weight: Tensor, scale: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """The int8 codes of a weight on the grid of `scale`, and that scale."""
    codes = (weight / scale).round().clamp(-128, 127)
    if not torch.equal(codes * scale, weight):
        raise RunError(f"{name}: its values are not the 8-bit codes times the scale that the stored model states")
    if scale.numel() not in (1, weight.shape[0]) or (scale.dim() > 0 and scale.shape[0] != scale.numel()):
        raise RunError(f"{name}: a scale of shape {tuple(scale.shape)} is neither per tensor nor per output")
    return codes.to(torch.int8), scale
