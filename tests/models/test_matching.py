"""Names of a file's tensors: prefixes, other libraries, and what is left out."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from effdl.models.matching import best, exact
from effdl.models.mlp import mlp
from effdl.models.resnet import resnet, resnet18
from effdl.models.surgery import last_layer
from effdl.models.weights import load_weights
from effdl.utils.errors import UserError

TEN = tuple("0123456789")


class Block(nn.Module):
    """A block as kuangliu/pytorch-cifar and akamaster name it; `shortcut` is theirs."""

    def __init__(self, inputs, outputs, stride, shortcut):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = shortcut(inputs, outputs, stride) if stride > 1 else nn.Sequential()

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + self.shortcut(x))


class Network(nn.Module):
    def __init__(self, widths, blocks, shortcut):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        inputs = widths[0]
        for stage, outputs in enumerate(widths, 1):
            strides = [2 if stage > 1 else 1, *[1] * (blocks - 1)]
            made = [Block(inputs if i == 0 else outputs, outputs, s, shortcut) for i, s in enumerate(strides)]
            setattr(self, f"layer{stage}", nn.Sequential(*made))
            inputs = outputs
        self.stages = len(widths)
        self.linear = nn.Linear(inputs, 10)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        for stage in range(self.stages):
            out = getattr(self, f"layer{stage + 1}")(out)
        return self.linear(out.mean((2, 3)))


def convolution(inputs, outputs, stride):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class Pad(nn.Module):
    """Option A as akamaster has it: half of the zero channels come first."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()

    def forward(self, x):
        half = x.shape[1] // 2
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))


@pytest.fixture(
    params=[
        (resnet18, {"width": 0.25}, Network, ((16, 32, 64, 128), 2, convolution)),
        (resnet, {"depth": 20}, Network, ((16, 32, 64), 3, Pad)),
    ],
    ids=["pytorch-cifar", "akamaster"],
)
def pair(request):
    """A network of another library whose batch norms are not those of a new one, and a model of the same function."""
    ours, options, theirs, arguments = request.param
    torch.manual_seed(0)
    network = theirs(*arguments)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if ".bn" in name and tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5)
    return network.eval(), ours(3, 32, 10, **options).eval()


@pytest.mark.parametrize("parallel", [False, True])
def test_a_network_of_another_library_gives_the_same_logits(pair, tmp_path, parallel):
    network, model = pair
    saved = nn.DataParallel(network) if parallel else network
    torch.save({"net": saved.state_dict(), "acc": 95.0, "epoch": 7}, tmp_path / "ckpt.pth")
    loaded = load_weights(model, str(tmp_path / "ckpt.pth"), TEN)
    assert (loaded.count, loaded.anew, loaded.left_out) == (len(model.state_dict()), [], [])
    assert "names of the ResNet of torchvision, pytorch-cifar or akamaster" in loaded.notes
    assert ("without the prefix module." in loaded.notes) == parallel
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(images), network(images), rtol=1e-4, atol=1e-4)


def test_a_network_with_more_blocks_is_refused(tmp_path):
    torch.save(Network((16, 32, 64), 3, convolution).state_dict(), tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"layer2\.0\.shortcut\.0\.weight is not in the model"):
        load_weights(resnet(3, 32, 10, depth=20), str(tmp_path / "w.pth"), TEN)


def named_by_lukemelas(model):
    """The state dict of timm's EfficientNet-Lite0 as lukemelas names it, by the order in which both register."""
    inside = ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
    modules = ["_conv_stem", "_bn0"]
    for block in range(sum((1, 2, 2, 3, 3, 4, 1))):
        modules += [f"_blocks.{block}.{name}" for name in (inside if block else inside[2:])]
    modules += ["_conv_head", "_bn1", "_fc"]
    theirs = list(dict.fromkeys(name.rpartition(".")[0] for name in model.state_dict()))
    new = dict(zip(theirs, modules, strict=True))
    return {re.sub(r"^.*(?=\.)", new[name.rpartition(".")[0]], name): t for name, t in model.state_dict().items()}


def test_efficientnet_lite0_by_lukemelas_is_that_of_timm(tmp_path):
    timm = pytest.importorskip("timm")
    model = timm.create_model("tf_efficientnet_lite0", num_classes=10)
    torch.save(named_by_lukemelas(model), tmp_path / "w.pth")
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for tensor in model.state_dict().values():
        tensor.zero_()
    loaded = load_weights(model, str(tmp_path / "w.pth"), TEN)
    assert (loaded.count, loaded.anew, loaded.left_out) == (296, [], [])
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


@pytest.fixture
def model():
    return resnet(3, 8, 10, depth=8)


PREFIXES = ["module.", "_orig_mod.", "model.", "backbone.", "encoder_q.", "module._orig_mod.", "module.encoder_q."]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_are_taken_away_whether_all_names_have_them_or_some(model, prefix):
    state = model.state_dict()
    head, _ = last_layer(model)
    alone = best(state, {f"{prefix}{name}": tensor for name, tensor in state.items()}, head)
    assert (alone.problems, alone.left_out) == ({}, [])
    assert alone.names == {f"{prefix}{name}": name for name in state}
    others = {"queue": torch.zeros(2), "encoder_k.0.weight": torch.zeros(3)}
    found = {**others, **{f"{prefix}{name}": tensor for name, tensor in state.items()}}
    beside = best(state, found, head)
    assert (beside.problems, beside.names, beside.left_out) == ({}, alone.names, list(others))


def test_a_file_without_last_layer_and_with_a_projector_is_loaded_and_this_is_said(model, tmp_path):
    state = {f"backbone.{name}": 2 * t for name, t in model.state_dict().items() if not name.startswith("9.")}
    torch.save({"state_dict": {**state, "projector.weight": torch.zeros(2)}}, tmp_path / "w.pth")
    loaded = load_weights(model, str(tmp_path / "w.pth"), TEN)
    assert loaded.lines() == [
        "42 of 44 tensors loaded (its state_dict, without the prefix backbone.)",
        "left out of the file: projector.weight",
        "initialised anew: 9.weight, 9.bias",
    ]
    assert torch.equal(model.state_dict()["0.weight"], state["backbone.0.weight"])


def test_layers_that_the_model_has_not_are_refused_and_others_left_out():
    wanted = mlp(1, 8, 10).state_dict()
    deeper = {**wanted, "10.weight": torch.zeros(2, 2)}
    assert "10.weight is not in the model" in best(wanted, deeper, "7").problems.values()
    assert best(wanted, {**wanted, "ema.decay": torch.zeros(1)}, "7").left_out == ["ema.decay"]
    assert exact(wanted, {**wanted, "ema.decay": torch.zeros(1)}).problems


def test_whole_numbers_are_no_weights():
    wanted = mlp(1, 8, 10).state_dict()
    found = {name: tensor.to(torch.int8) for name, tensor in wanted.items()}
    assert "1.weight is of int8 there, float32 here" in best(wanted, found, "7").problems.values()


def test_filters_are_adapted_to_the_channels_of_images(tmp_path):
    torch.manual_seed(0)
    source, model = resnet(3, 8, 10, depth=8).eval(), resnet(1, 8, 10, depth=8).eval()
    torch.save(source.state_dict(), tmp_path / "w.pth")
    loaded = load_weights(model, str(tmp_path / "w.pth"), TEN)
    assert loaded.notes == ["0.weight adapted from 3 channels to 1"]
    grey = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(model(grey), source(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


def test_files_of_torchvision_fit_its_models_and_ours(tmp_path):
    models = pytest.importorskip("torchvision").models
    source = models.resnet18(num_classes=10)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "w.pth")
    model = models.resnet18(num_classes=10)
    assert load_weights(model, str(tmp_path / "w.pth"), TEN).anew == []
    assert torch.equal(model.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    with pytest.raises(UserError, match=r"0\.weight is \(64, 3, 7, 7\) there, \(64, 3, 3, 3\) here"):
        load_weights(resnet18(3, 32, 10), str(tmp_path / "w.pth"), TEN)
    source.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    assert load_weights(resnet18(3, 32, 10), str(tmp_path / "w.pth"), TEN).count == 122


def test_a_file_of_something_else_says_what_it_has(tmp_path):
    torch.save({"a.weight": torch.zeros(1), "b.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"1\.weight is missing;.* \(the file has a\.weight, b\.weight\)"):
        load_weights(mlp(1, 8, 10), str(tmp_path / "w.pth"), TEN)


@pytest.mark.parametrize(
    ("name", "said"),
    [("a\nb\x1b[2J", r"other.a b\x1b[2J"), ("n" * 10_000_000, f"other.{'n' * 94} ... {'n' * 100}")],
)
def test_names_are_said_on_one_line_without_control_characters_and_short(model, tmp_path, name, said):
    path = str(tmp_path / "w.pth")
    torch.save({**model.state_dict(), f"other.{name}": torch.zeros(2)}, path)
    assert load_weights(model, path, TEN).lines()[1] == f"left out of the file: {said}"
    torch.save({f"other.{name}": torch.zeros(2)}, path)
    with pytest.raises(UserError) as caught:
        load_weights(model, path, TEN)
    assert str(caught.value).endswith(f"(the file has {said})")
    torch.save({**model.state_dict(), f"1.{name}": torch.zeros(2)}, path)
    with pytest.raises(UserError) as caught:
        load_weights(model, path, TEN)
    assert str(caught.value).isprintable()
    assert str(caught.value).endswith("is not in the model")
    assert len(str(caught.value)) < 400
