"""What a changed architecture is told as, and made from: exactly the same model, or a clear refusal."""

import copy
import json
import math

import pytest
import torch
import torchvision
from torch import nn
from torch.nn.utils import parametrize

from effdl.models.mobilenetv2 import mobilenetv2
from effdl.models.module_types import ALLOWED
from effdl.models.resnet import ZeroPadShortcut, resnet
from effdl.models.structure import apply, changes
from effdl.models.vgg import vgg
from effdl.nn.quantizers import ActivationQuantizer, ActivationSign
from effdl.nn.token_norm import TokenNorm
from effdl.utils.errors import UserError

CONV = {
    "name": "0",
    "type": "torch.nn.Conv2d",
    "in_channels": 3,
    "out_channels": 5,
    "kernel_size": [3, 3],
    "stride": [1, 1],
    "padding": [1, 1],
    "dilation": [1, 1],
    "groups": 1,
    "bias": False,
    "padding_mode": "zeros",
}


def small_net():
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 4, 1))


def narrow(model, before, after, inputs):
    """Replace a convolution, its batch norm and the next convolution by some of `after` channels."""
    first, second = model.get_submodule(before[0]), model.get_submodule(before[2])
    model.set_submodule(before[0], nn.Conv2d(inputs, after, first.kernel_size, first.stride, 1, bias=False))
    model.set_submodule(before[1], nn.BatchNorm2d(after))
    model.set_submodule(before[2], nn.Conv2d(after, second.out_channels, second.kernel_size, padding=1, bias=False))
    return model


def split_all(model):
    """Every 3x3 convolution as a 3x1 and a 1x3 one."""
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3) and module.groups == 1:
            down = nn.Conv2d(module.in_channels, 6, (3, 1), (module.stride[0], 1), (1, 0), bias=False)
            right = nn.Conv2d(6, module.out_channels, (1, 3), (1, module.stride[1]), (0, 1))
            model.set_submodule(name, nn.Sequential(down, right))
    return model


def quantize_all(model):
    """A quantizer after every ReLU, and 3 bits on the input of every linear layer."""
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.ReLU):
            model.set_submodule(name, nn.Sequential(module, ActivationQuantizer(4, False)))
        elif isinstance(module, nn.Linear):
            model.set_submodule(name, nn.Sequential(ActivationQuantizer(3, True), module))
    return model


def shuffled_shortcuts(model):
    for name, module in list(model.named_modules()):
        if isinstance(module, ZeroPadShortcut):
            sources = [2, -1, *range(3, module.outputs + 1)]
            sources = [source if source < module.inputs else -1 for source in sources]
            model.set_submodule(name, ZeroPadShortcut(module.inputs, module.outputs, module.stride, sources))
    return model


def torchvision_resnet():
    return torchvision.models.resnet18(num_classes=10)


CASES = {
    "unchanged": (lambda: resnet(3, 16, 10, depth=8), lambda model: model, 0),
    "resnet, narrow block": (
        lambda: resnet(3, 16, 10, depth=8),
        lambda model: narrow(model, ("3.conv1", "3.bn1", "3.conv2"), 5, 16),
        3,
    ),
    "resnet, shortcuts": (lambda: resnet(3, 16, 10, depth=8), shuffled_shortcuts, 2),
    "resnet, quantizers": (lambda: resnet(3, 16, 10, depth=8), quantize_all, 8),
    "vgg, split": (lambda: vgg(3, 16, 10, depth=11, width=0.1), split_all, 8),
    "mobilenetv2, quantized last layer": (lambda: mobilenetv2(3, 16, 10, width=0.25), quantize_all, 1),
    "torchvision, split": (torchvision_resnet, split_all, 16),
    "torchvision, narrow": (
        torchvision_resnet,
        lambda model: narrow(model, ("layer1.0.conv1", "layer1.0.bn1", "layer1.0.conv2"), 11, 64),
        3,
    ),
    "other normalization": (
        small_net,
        lambda model: nn.Sequential(model[0], nn.GroupNorm(4, 16, 1e-3), nn.GELU("tanh"), model[3], nn.Dropout(0.25)),
        1,  # the sequence as a whole, since it has another length
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_model_is_made_again_bit_for_bit(case):
    build, change, count = CASES[case]
    torch.manual_seed(0)
    model = change(build())
    for parameter in model.parameters():  # so that quantizers, biases and norms are not at their initial values
        nn.init.uniform_(parameter, 0.05, 0.2)
    found = changes(model, build())
    assert len(found) == count
    again = apply(build(), json.loads(json.dumps(found)))
    again.load_state_dict(model.state_dict(), strict=True)
    assert changes(again, model) == changes(model, again) == []
    assert changes(again, build()) == found
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(again.eval()(images), model.eval()(images))


def test_the_order_is_that_of_named_modules():
    model = split_all(resnet(3, 16, 10, depth=8))
    names = [change["name"] for change in changes(model, resnet(3, 16, 10, depth=8))]
    assert names == [name for name, module in model.named_modules() if type(module) is nn.Sequential and name]


def test_a_narrower_model_is_told_by_its_widths():
    found = changes(resnet(3, 16, 10, depth=8, width=0.5), resnet(3, 16, 10, depth=8))
    assert found[0] == {**CONV, "out_channels": 8}
    assert {change["type"].rpartition(".")[2] for change in found} == {
        "Conv2d",
        "BatchNorm2d",
        "ZeroPadShortcut",
        "Linear",
    }
    assert len(found) == 7 + 7 + 2 + 1


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def test_parametrizations_are_seen_through():
    model, reference = small_net(), small_net()
    parametrize.register_parametrization(model[0], "weight", Doubled())
    assert changes(model, reference) == []
    model[0] = nn.Conv2d(3, 5, 3, padding=1, bias=False)
    parametrize.register_parametrization(model[0], "weight", Doubled())
    assert changes(model, reference) == [CONV]
    attention, plain = nn.Sequential(nn.MultiheadAttention(8, 2)), nn.Sequential(nn.MultiheadAttention(8, 2))
    parametrize.register_parametrization(attention[0], "in_proj_weight", Doubled())
    assert changes(attention, plain) == []


def test_what_cannot_be_stored_is_named():
    class Own(nn.Module):
        pass

    model = resnet(3, 16, 10, depth=8)
    model[3].relu1 = Own()
    with pytest.raises(RuntimeError, match=r"3\.relu1 cannot be stored: its new structure holds a .*Own"):
        changes(model, resnet(3, 16, 10, depth=8))
    model = nn.Sequential(nn.MultiheadAttention(8, 2))
    with pytest.raises(RuntimeError, match=r"0 \(torch.nn.MultiheadAttention\) was changed .*num_heads"):
        changes(model, nn.Sequential(nn.MultiheadAttention(8, 4)))
    model = resnet(3, 16, 10, depth=8)
    model[3].extra = nn.ReLU()
    with pytest.raises(RuntimeError, match="3 cannot be stored"):
        changes(model, resnet(3, 16, 10, depth=8))


class OwnConv(nn.Conv2d):
    """A convolution of a library, that no file can describe."""


class OwnNorm(nn.BatchNorm2d):
    """A norm of a library with parts of its own."""

    def __init__(self, channels):
        super().__init__(channels)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(super().forward(x))


def library_net(width=16):
    last = nn.Sequential(OwnConv(width, 4, 1))
    return nn.Sequential(OwnConv(3, width, 3, padding=1, bias=False), OwnNorm(width), nn.ReLU(), last)


def test_modules_of_a_library_are_resized_and_wrapped():
    model = library_net(5)
    model[1].act = nn.Sequential(model[1].act, ActivationQuantizer(4, False))
    model[3][0] = nn.Sequential(ActivationQuantizer(3, True), model[3][0])
    found = json.loads(json.dumps(changes(model, library_net())))
    assert [(change["name"], change["type"].rpartition(".")[2]) for change in found] == [
        ("0", "Resized"),
        ("1", "Resized"),
        ("1.act", "Sequential"),
        ("3.0", "Resized"),
        ("3.0", "Sequential"),
    ]
    assert found[0] == {
        "name": "0",
        "type": "Resized",
        "shapes": {"weight": [5, 3, 3, 3]},
        "numbers": {"out_channels": 5},
    }
    again = apply(library_net(), found)
    assert repr(again) == repr(model)
    assert type(again[3][0][1]) is OwnConv
    again.load_state_dict(model.state_dict(), strict=True)
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(again.eval()(images), model.eval()(images))


def test_other_changes_of_a_library_are_refused():
    model = library_net()
    model[0] = OwnConv(3, 16, 3, padding=1)  # a bias more
    with pytest.raises(RuntimeError, match=r"0 \(.*OwnConv\) was changed in a way that cannot be stored: \['bias'\]"):
        changes(model, library_net())
    model = library_net()
    model[1].eps = 0.1
    with pytest.raises(RuntimeError, match=r"\['eps'\]"):
        changes(model, library_net())


_RESIZED = {"name": "0", "type": "Resized", "shapes": {"weight": [5, 3, 3, 3]}, "numbers": {"out_channels": 5}}
FORGED_SIZES = [
    {**_RESIZED, "name": "1.weight"},
    {**_RESIZED, "shapes": {"weight": [17, 3, 3, 3]}},
    {**_RESIZED, "shapes": {"weight": [5, 27]}},
    {**_RESIZED, "shapes": {"weight": [0, 3, 3, 3]}},
    {**_RESIZED, "shapes": {"bias": [5]}},
    {**_RESIZED, "shapes": ["weight"]},
    {**_RESIZED, "numbers": {"stride": 2}},
    {**_RESIZED, "numbers": {"num_features": 5}},
    {**_RESIZED, "numbers": {"out_channels": True}},
    {**_RESIZED, "code": "true"},
    {"name": "0", "type": "Resized"},
    {"name": "0", "type": "Original", "children": []},
]


@pytest.mark.parametrize("change", FORGED_SIZES)
def test_a_forged_size_is_refused(change):
    with pytest.raises(UserError, match="model structure"):
        apply(library_net(), [change])


FORGED = {
    "no list": {"0": CONV},
    "no dicts": ["0"],
    "no name": [{key: value for key, value in CONV.items() if key != "name"}],
    "an odd name": [{**CONV, "name": ["0"]}],
    "no such module": [{**CONV, "name": "0.inner"}],
    "an attribute": [{**CONV, "name": "weight"}],
    "another type": [{"name": "0", "type": "torch.nn.Bilinear", "in1_features": 1, "in2_features": 1}],
    "code": [{"name": "0", "type": "os.system", "command": "true"}],
    "a list as type": [{"name": "0", "type": ["torch.nn.ReLU"], "inplace": True}],
    "an argument too many": [{**CONV, "device": "cuda"}],
    "an argument too few": [{key: value for key, value in CONV.items() if key != "groups"}],
    "a text": [{**CONV, "out_channels": "5"}],
    "true": [{**CONV, "out_channels": True}],
    "a fraction": [{**CONV, "out_channels": 5.0}],
    "none": [{**CONV, "out_channels": 0}],
    "negative": [{**CONV, "padding": [-1, -1]}],
    "huge": [{**CONV, "out_channels": 10**30}],
    "too large": [{**CONV, "in_channels": 1 << 24, "out_channels": 1 << 24}],
    "large together": [{**CONV, "in_channels": 300, "out_channels": 300}] * 10,
    "huge padding": [{**CONV, "padding": [10**6, 10**6]}],
    "three dimensions": [{**CONV, "kernel_size": [3, 3, 3]}],
    "groups": [{**CONV, "groups": 2}],
    "not a number": [
        {
            "name": "1",
            "type": "torch.nn.BatchNorm2d",
            "num_features": 16,
            "eps": math.nan,
            "momentum": 0.1,
            "affine": True,
            "track_running_stats": True,
        }
    ],
    "no sources": [
        {
            "name": "0",
            "type": "effdl.models.resnet.ZeroPadShortcut",
            "inputs": 2,
            "outputs": 2,
            "stride": 1,
            "sources": [0, 2],
        }
    ],
    "a bad child": [{"name": "0", "type": "torch.nn.Sequential", "children": [["a.b", CONV]]}],
    "children that are none": [{"name": "0", "type": "torch.nn.Sequential", "children": ["0"]}],
    "children in a row": [{"name": "0", "type": "torch.nn.Sequential", "children": [[["0"], {}]]}],
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_description_is_refused(case):
    with pytest.raises(UserError, match="model structure"):
        apply(small_net(), FORGED[case])


def test_a_deep_description_is_refused():
    child = {"type": "torch.nn.Identity"}
    for _ in range(900):
        child = {"type": "torch.nn.Sequential", "children": [["0", child]]}
    with pytest.raises(UserError, match="model structure"):
        apply(small_net(), [{"name": "0", **child}])


def test_making_a_model_again_draws_nothing_but_initial_weights():
    """The reference is changed in place, in its own mode, and other modules are left alone."""
    reference = small_net().eval()
    kept = copy.deepcopy(reference[3].state_dict())
    assert apply(reference, [CONV]) is reference
    assert reference[0].out_channels == 5
    assert not any(module.training for module in reference.modules())
    assert all(torch.equal(reference[3].state_dict()[name], tensor) for name, tensor in kept.items())


def test_every_allowed_type_can_be_told_and_made():
    models = [
        nn.Conv1d(2, 4, 3, groups=2, padding="same", padding_mode="circular"),
        nn.Conv3d(1, 2, (1, 2, 3)),
        nn.BatchNorm1d(3, momentum=None, affine=False),
        nn.BatchNorm3d(2),
        ActivationSign(),
        TokenNorm(5),
        nn.LayerNorm([3, 4], bias=False),
        nn.LayerNorm(4, elementwise_affine=False),
        nn.MaxPool1d(2),
        nn.MaxPool2d((2, 3), ceil_mode=True),
        nn.AvgPool1d(2),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.AdaptiveAvgPool1d(2),
        nn.AdaptiveAvgPool2d((1, 2)),
        nn.Flatten(2),
        nn.LeakyReLU(0.2),
        *(getattr(nn, name)() for name in ("ReLU6", "SiLU", "Hardswish", "Hardsigmoid", "Sigmoid", "Tanh", "Identity")),
    ]
    told = {f"torch.nn.{name}" for name in ("Conv2d", "BatchNorm2d", "Linear", "Sequential", "ReLU", "GroupNorm")}
    told |= {"torch.nn.GELU", "torch.nn.Dropout"} | {
        name for name in ALLOWED if not name.startswith("torch.nn.")
    }  # above
    for model in models:
        found = json.loads(json.dumps(changes(nn.Sequential(model), nn.Sequential(nn.Bilinear(1, 1, 1)))))
        again = apply(nn.Sequential(nn.Bilinear(1, 1, 1)), found)
        assert repr(again) == repr(nn.Sequential(model))
        again[0].load_state_dict(model.state_dict(), strict=True)
        told |= {found[0]["type"]}
    assert told == set(ALLOWED)
