"""Filters are really gone, as many as asked for, the right ones, and with the effect of setting them to zero."""

import copy
import json
import math
import sys

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from effdl.compression.prune.filters import filters
from effdl.compression.prune.structured_pruner import StructuredPruner, check_removal, fewest, removal_order
from effdl.models.convnet import convnet
from effdl.models.densenet import densenet
from effdl.models.lenet5 import lenet5
from effdl.models.mlp import mlp
from effdl.models.mobilenet import mobilenet
from effdl.models.mobilenetv2 import mobilenetv2
from effdl.models.resnet import resnet, resnet18
from effdl.models.structure import apply, changes
from effdl.models.vgg import vgg
from effdl.models.vit import vit
from effdl.utils.errors import RunError, UserError

tp = pytest.importorskip("torch_pruning")
PLAIN = {
    "target": "macs",
    "criterion": "l2",
    "images": 64,
    "scope": "layer",
    "round_to": 1,
    "exclude": [],
    "amounts": None,
    "rounds": 1,
    "epochs": None,
    "lr_scale": 0.2,
}


def cost(model, shape):
    """MACs, as PyTorch counts them, and parameters; not every version sees inside fused attention."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, *shape))
    return counter.get_total_flops() // 2, sum(p.numel() for p in model.parameters())


def lively(build):
    """A model whose norms and last layer are not as they begin, so that every channel matters."""
    torch.manual_seed(0)
    model = build().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
        elif isinstance(module, nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.1)
    return model


def outputs(model):
    layers = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    return {name: getattr(layer, "out_channels", None) or layer.out_features for name, layer in layers.items()}


@pytest.fixture
def prune(make_trainer):
    """Prune with `PLAIN` and what is given besides, by a trainer that notes what it is asked for."""

    def run(model, shape=(3, 16, 16), trainer=None, **given):
        return filters(model, trainer or make_trainer(shape=shape), **{**PLAIN, **given})

    return run


def tiny_torchvision_vit():
    return torchvision.models.VisionTransformer(16, 4, 2, 2, 32, 64, num_classes=10)


MODELS = {
    "resnet": (lambda: resnet(3, 16, 10), (3, 16, 16)),
    "resnet18": (lambda: resnet18(3, 16, 10, width=0.25), (3, 16, 16)),
    "vgg": (lambda: vgg(3, 16, 10, depth=11, width=0.25), (3, 16, 16)),
    "mobilenet": (lambda: mobilenet(3, 16, 10, width=0.25), (3, 16, 16)),
    "mobilenetv2": (lambda: mobilenetv2(3, 16, 10, width=0.25), (3, 16, 16)),
    "densenet": (lambda: densenet(3, 16, 10, depth=22), (3, 16, 16)),
    "lenet5": (lambda: lenet5(1, 28, 10), (1, 28, 28)),
    "mlp": (lambda: mlp(1, 28, 10), (1, 28, 28)),
    "convnet": (lambda: convnet(1, 8, 10), (1, 8, 8)),
    "vit": (lambda: vit(3, 16, 10, dim=24, depth=2), (3, 16, 16)),
    "torchvision resnet18": (lambda: torchvision.models.resnet18(num_classes=10), (3, 32, 32)),
    "torchvision mobilenet_v3_small": (lambda: torchvision.models.mobilenet_v3_small(num_classes=10), (3, 32, 32)),
    "torchvision vit": (tiny_torchvision_vit, (3, 16, 16)),
    "grouped": (
        lambda: nn.Sequential(
            *(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 128, 3, groups=4), nn.BatchNorm2d(128), nn.ReLU()),
            *(nn.Conv2d(128, 32, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
        ),
        (3, 16, 16),
    ),
}


@pytest.mark.parametrize(
    ("name", "target"),
    [*((name, "macs") for name in MODELS), ("resnet", "params"), ("vit", "params"), ("lenet5", "params")],
)
def test_every_model_loses_what_is_asked_and_no_more_than_it_must(name, target, prune):
    build, shape = MODELS[name]
    level = 0.2 if "vit" in name else 0.5
    model, which = lively(build), ["macs", "params"].index(target)
    before = cost(model, shape)[which]
    pruned = prune(model, shape, level=level, target=target)
    left = cost(pruned, shape)[which] / before
    assert (1 - level) * 0.93 < left <= 1 - level  # the smallest block of the smallest model here: 7 % of it
    assert StructuredPruner(shape, target, "layer", 1, []).cost(pruned) == cost(pruned, shape)[which]
    assert pruned(torch.zeros(2, *shape)).shape == (2, 10)
    again = apply(build(), json.loads(json.dumps(changes(pruned, build()))))
    again.load_state_dict(pruned.state_dict(), strict=True)
    images = torch.randn(2, *shape)
    assert torch.equal(again.eval()(images), pruned(images))


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda width: resnet(3, 32, 10, width=width), (3, 32, 32)),
        (lambda width: resnet18(3, 16, 10, width=width / 4), (3, 16, 16)),
        (lambda width: vgg(3, 16, 10, depth=11, width=width / 4), (3, 16, 16)),
        (lambda width: mobilenet(3, 16, 10, width=width / 4), (3, 16, 16)),
        (lambda width: mlp(1, 8, 10, hidden=[64, 40], width=width), (1, 8, 8)),
    ],
)
@pytest.mark.parametrize("round_to", [1, 4])
def test_half_of_all_filters_leave_the_model_that_is_built_with_half_the_width(build, shape, round_to, prune):
    pruned = prune(lively(lambda: build(1.0)), shape, level=0.5, target="filters", round_to=round_to)
    assert cost(pruned, shape) == cost(build(0.5), shape)
    assert list(outputs(pruned).values()) == list(outputs(build(0.5)).values())


def test_a_quarter_of_the_macs_of_resnet_20(prune):
    dense, _ = cost(resnet(3, 32, 10), (3, 32, 32))
    assert dense == 40_551_040
    for level in (0.75, 4.0):
        pruned = prune(lively(lambda: resnet(3, 32, 10)), (3, 32, 32), level=level)
        assert 0.248 < cost(pruned, (3, 32, 32))[0] / dense <= 0.25
        assert set(outputs(pruned).values()) <= {8, 16, 31, 32, 10}
    rounded = prune(lively(lambda: resnet(3, 32, 10)), (3, 32, 32), level=0.75, round_to=8)
    assert 0.22 < cost(rounded, (3, 32, 32))[0] / dense <= 0.25
    assert all(width % 8 == 0 for name, width in outputs(rounded).items() if width != 10)


def test_filters_that_do_nothing_are_the_ones_that_go(prune):
    """Half of every stage's filters are silenced by hand: without them the logits are the same."""
    model = lively(lambda: resnet(3, 16, 10))
    for _, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            silent = torch.arange(module.num_features) % 2 == 1
            module.weight.data[silent] = module.bias.data[silent] = 0
    images = torch.randn(4, 3, 16, 16)
    expected = model(images)
    for criterion in ("bn", "taylor"):
        pruned = prune(copy.deepcopy(model), level=0.5, target="filters", criterion=criterion)
        assert cost(pruned, (3, 16, 16)) == cost(resnet(3, 16, 10, width=0.5), (3, 16, 16))
        torch.testing.assert_close(pruned(images), expected, rtol=0, atol=1e-5)


def plain():
    """Two convolutions and a linear layer: groups that can be scored by hand."""
    torch.manual_seed(1)
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 10)),
    ).eval()


@pytest.mark.parametrize("criterion", ["l1", "l2", "taylor"])
def test_scores_are_those_of_the_formula(criterion, make_trainer, prune):
    model, trainer = plain(), make_trainer(shape=(3, 8, 8))
    torch.manual_seed(2)
    pruned = prune(copy.deepcopy(model), trainer=trainer, level=0.5, target="filters", criterion=criterion)
    torch.manual_seed(2)
    if criterion == "taylor":
        [(images, labels)] = trainer.calibration_batches(64)
        F.cross_entropy(model(images), labels, reduction="sum").backward()
    formula = {
        "l1": lambda layer: layer.weight.abs(),
        "l2": lambda layer: layer.weight**2,
        "taylor": lambda layer: (layer.weight * layer.weight.grad).abs(),
    }[criterion]
    first, second, last = formula(model[0]), formula(model[2]), formula(model[6])
    own = [first.sum((1, 2, 3)) + second.sum((0, 2, 3)), second.sum((1, 2, 3)) + last.sum(0)]
    kept = [scores.argsort()[3:].sort().values for scores in own]  # six of the eleven go, three of each layer
    assert torch.equal(pruned[0].weight, model[0].weight[kept[0]])
    assert torch.equal(pruned[2].weight, model[2].weight[kept[1]][:, kept[0]])
    assert torch.equal(pruned[6].weight, model[6].weight[:, kept[1]])
    assert torch.equal(pruned[6].bias, model[6].bias)


def test_the_order_of_a_ranking_by_layer():
    scores = [torch.tensor([3.0, 1.0, 2.0, 4.0]), torch.tensor([0.5, 9.0])]
    assert removal_order(scores, [1, 1], "layer") == [(0, [1]), (1, [0]), (0, [2]), (0, [0])]
    assert removal_order(scores, [1, 1], "global") == [(1, [0]), (0, [1]), (0, [2]), (0, [0])]


def test_amounts_say_how_much_of_one_layer_goes_for_how_much_of_another():
    scores = [torch.arange(8.0), torch.arange(8.0)]
    order = removal_order(scores, [1, 1], "layer", [0.75, 0.5])
    removed = [sum(number == group for number, _ in order[:10]) for group in (0, 1)]
    assert removed == [6, 4]  # at the very amounts: c = 1
    assert [sum(number == group for number, _ in order[:7]) for group in (0, 1)] == [4, 3]  # c = 1/2: 0.5 and 0.29


def test_amounts_of_a_file(tmp_path, prune):
    file = tmp_path / "amounts.json"
    layers = {name: 0.5 for name in outputs(resnet(3, 16, 10)) if name.endswith("conv1")}
    file.write_text(json.dumps(layers | {"9.conv1": 0.75}))
    before, after = (
        outputs(model)
        for model in (resnet(3, 16, 10), prune(lively(lambda: resnet(3, 16, 10)), level=0.3, amounts=str(file)))
    )
    kept = {name: after[name] / before[name] for name in before}
    assert all(kept[name] == 1 for name in kept if name not in layers)  # what the file does not name stays
    power = math.log(kept["10.conv1"]) / math.log(0.5)
    assert kept["9.conv1"] == pytest.approx(0.25**power, abs=1 / 64)
    file.write_text('{"layer9": 0.5}')
    with pytest.raises(UserError, match="layer9 is no layer"):
        check_removal(resnet(3, 16, 10), [], str(file))
    file.write_text("{}")
    with pytest.raises(UserError, match=r"exclude=\[\], amounts=.*amounts.json: no layer is left"):
        prune(resnet(3, 16, 10), level=0.3, amounts=str(file))


def test_what_is_left_is_a_multiple():
    order = removal_order([torch.arange(20.0), torch.arange(8.0), torch.arange(3.0)], [8, 8, 8], "global")
    assert order == [(0, [0, 1, 2, 3]), (0, list(range(4, 12)))]
    assert removal_order([torch.arange(16.0)], [8], "layer") == [(0, list(range(8)))]


def test_blocks_that_a_larger_one_made_unnecessary_are_given_back():
    sizes = {(0, 1): 2, (0, 2): 3, (1, 1): 4, (2, 1): 20, (1, 2): 1}
    blocks = [(group, [unit]) for group, unit in sizes]

    def chosen(wanted):
        return fewest(blocks, lambda some: sum(sizes[group, units[0]] for group, units in some) >= wanted)

    assert chosen(0) == []
    assert chosen(5) == blocks[:2]
    assert chosen(9) == blocks[:3]
    assert chosen(20) == [(2, [1])]
    assert chosen(22) == [(0, [1]), (2, [1])]
    assert chosen(24) == [(0, [1]), (0, [2]), (2, [1])]  # the last block of a group comes back first
    assert chosen(30) == blocks


def test_of_equal_scores_the_earlier_go_first():
    assert removal_order([torch.zeros(3), torch.zeros(3)], [1, 1], "global") == [(0, [0]), (0, [1]), (1, [0]), (1, [1])]


def test_a_global_ranking_takes_from_the_layers_of_low_scores():
    model = lively(lambda: vgg(3, 16, 10, depth=11, width=0.25))
    bn = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    removal = StructuredPruner((3, 16, 16), "filters", "global", 1, [])
    for module in bn[4:]:
        module.weight.data *= 0.1
    total = sum(module.num_features for module in bn)
    pruned = removal.down_to(model, total - 100, tp.importance.BNScaleImportance(normalizer=None))
    widths = [module.num_features for module in pruned.modules() if isinstance(module, nn.BatchNorm2d)]
    assert widths[:4] == [16, 32, 64, 64]
    assert sum(widths) == total - 100


def test_excluded_layers_keep_their_filters(prune):
    before = outputs(resnet(3, 16, 10))
    after = outputs(prune(lively(lambda: resnet(3, 16, 10)), level=0.3, exclude=["0", "*.conv1"]))
    same = {name for name in before if before[name] == after[name]}
    # The stem shares its filters with the second convolutions of the first stage.
    assert same == {name for name in before if "conv1" in name} | {"0", "3.conv2", "4.conv2", "5.conv2", "15"}
    with pytest.raises(UserError, match=r"exclude=layer9: fits no layer \(layers: 0, 3.conv1, .*15\)"):
        prune(resnet(3, 16, 10), level=0.3, exclude=["layer9"])
    with pytest.raises(UserError, match=r"exclude=\['\*'\]: no layer"):
        prune(resnet(3, 16, 10), level=0.3, exclude=["*"])


def test_a_level_that_cannot_be_reached_is_refused(prune):
    with pytest.raises(UserError, match=r"macs: 0.01 of what there is cannot be reached, at the least 0.12 is left"):
        prune(lively(lambda: resnet(3, 16, 10)), level=0.99, round_to=8)
    pruned = prune(lively(lambda: resnet(3, 16, 10)), level=0.99)  # one by one it can, and no layer is lost
    assert min(outputs(pruned).values()) >= 1


def test_rounds_prune_and_train_in_turn(make_trainer, prune):
    trainer = make_trainer(batches=1, batch_size=2, shape=(3, 16, 16))
    dense, _ = cost(resnet(3, 16, 10), (3, 16, 16))
    seen = []
    trainer.looks.append(lambda model, progress: seen.append(cost(copy.deepcopy(model), (3, 16, 16))[0] / dense))
    prune(lively(lambda: resnet(3, 16, 10)), trainer=trainer, level=0.875, rounds=3, epochs=2, lr_scale=0.5)
    assert trainer.asked == [(2, 0.5, 0)] * 3
    for left, wanted in zip(seen, (0.5, 0.5, 0.25, 0.25, 0.125, 0.125), strict=True):
        assert wanted * 0.95 < left <= wanted


def test_attention_and_the_residual_stream_stay(prune):
    for build in (lambda: vit(3, 16, 10, dim=24, depth=2), tiny_torchvision_vit):
        before, after = outputs(build()), outputs(prune(lively(build), level=0.2))
        changed = [name for name in before if before[name] != after[name]]
        assert changed == [name for name in before if ".mlp.1" in name or ".mlp.0" in name]
        assert len(changed) == 2


class Shuffled(nn.Module):
    """Reverses its channels, which a graph of layers does not show."""

    def forward(self, x):
        return x.flip(1)


def test_a_model_that_is_not_understood_is_refused(prune):
    model = plain()
    model.insert(2, Shuffled())
    with pytest.raises(RunError, match="not understood"):
        prune(model, (3, 8, 8), level=0.5)


class OwnNorm(nn.BatchNorm2d):
    """A layer that a stored model may not name: it is stored by what was changed of it."""


def with_own_norm():
    model = plain()
    model.insert(1, OwnNorm(6))
    return model


def test_a_layer_of_a_type_of_its_own_can_be_stored(prune):
    pruned, again = prune(with_own_norm(), (3, 8, 8), level=0.5), with_own_norm()
    assert pruned[1].num_features < 6
    apply(again, changes(pruned, with_own_norm()))
    again.load_state_dict(pruned.state_dict())
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(again.eval()(images), pruned.eval()(images))


def test_a_model_that_could_not_be_stored_is_refused_before_it_is_trained(make_trainer, prune, monkeypatch):
    def cannot(model, reference):
        raise RuntimeError("1 (OwnNorm) was changed in a way that cannot be stored: ['own']")

    model, trainer = with_own_norm(), make_trainer(shape=(3, 8, 8))
    with monkeypatch.context() as patch:
        patch.setattr("effdl.compression.prune.structured_pruner.changes", cannot)
        with pytest.raises(RunError, match=r"1 \(OwnNorm\) was changed in a way that cannot be stored: .*exclude"):
            prune(model, trainer=trainer, level=0.5)
    assert trainer.asked == []
    assert prune(model, trainer=trainer, level=0.2, exclude=["0"])


@pytest.mark.parametrize(
    "build",
    [
        lambda: torchvision.models.shufflenet_v2_x0_5(num_classes=10),
        lambda: torchvision.models.SwinTransformer([4, 4], 24, [2, 2], [2, 2], [4, 4], num_classes=10),
    ],
)
def test_what_torch_pruning_cannot_follow_is_refused(build, prune):
    with pytest.raises(UserError, match="torch-pruning cannot follow this model"):
        prune(build(), (3, 32, 32), level=0.5)


def test_the_same_twice(prune):
    first, second = (prune(lively(lambda: densenet(3, 16, 10, depth=16)), level=0.5) for _ in range(2))
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_missing_batch_norm_and_missing_library(monkeypatch, prune):
    with pytest.raises(UserError, match="criterion=bn"):
        prune(plain(), (3, 8, 8), level=0.5, criterion="bn")
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(UserError, match=r"pip install 'effdl\[prune\]'"):
        prune(plain(), (3, 8, 8), level=0.5)


def test_a_pruned_resnet_exports_with_any_batch_size(prune):
    model = prune(lively(lambda: resnet(3, 16, 10, depth=8)), level=0.75)
    shortcuts = [module.sources for module in model.modules() if hasattr(module, "sources")]
    assert len(shortcuts) == 2
    assert all(shortcuts)
    images = torch.randn(5, 3, 16, 16)
    batch = torch.export.Dim("batch")
    program = torch.export.export(model, (images[:2],), dynamic_shapes=({0: batch},))
    torch.testing.assert_close(program.module()(images), model(images))
    onnxruntime, _ = pytest.importorskip("onnxruntime"), pytest.importorskip("onnxscript")
    onnx = torch.onnx.export(model, (images[:2],), dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
    session = onnxruntime.InferenceSession(onnx.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    [logits] = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), model(images), rtol=1e-4, atol=1e-4)
