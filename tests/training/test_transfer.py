"""Which parameters learn: what is frozen stays as it is, bit for bit, and the rest learns as in a plain loop."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from effdl.compression.quantize.lsq import lsq
from effdl.data.build import load
from effdl.measure.energy import EnergyMeter
from effdl.models.resnet import resnet
from effdl.models.vit import vit
from effdl.nn.mask import mask_of
from effdl.training.callbacks import Callbacks
from effdl.training.checkpoint import Checkpoint
from effdl.training.device import Device
from effdl.training.epoch_log import EpochLog
from effdl.training.flops import step_flops
from effdl.training.loop import fit
from effdl.training.optimizers import adamw, sgd
from effdl.training.recipe import Recipe
from effdl.training.schedules import constant, one_cycle
from effdl.training.transfer import Freezing, Transfer, described, plain_name, resolved
from effdl.utils.errors import RunError, UserError
from effdl.utils.rows import Rows
from effdl.utils.seeding import derive_seed

CPU = Device(torch.device("cpu"))
SHAPE = (1, 8, 8)
IMAGES = {"channels": 1, "image_size": 8, "classes": 10}
RECIPE = Recipe(epochs=4, batch_size=64, optimizer=partial(sgd, lr=0.05, weight_decay=1e-3), schedule=constant)


@pytest.fixture(scope="module")
def data(digits_config):
    return load(digits_config(subset=200))


def network():
    torch.manual_seed(1)
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(4, 6, 3)),
        *(nn.BatchNorm2d(6, affine=False), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(96, 10)),
    )


class Killed(BaseException):
    pass


class KilledAfter:
    def __init__(self, epoch):
        self.epoch = epoch

    def training_begin(self, epochs, done):
        self.done = done

    def epoch_end(self, row):
        if row["epoch"] == self.epoch and hasattr(self, "done"):
            raise Killed


def train(model, data, recipe, folder, callback=None):
    folder.mkdir(exist_ok=True)
    return fit(
        model,
        data,
        recipe,
        CPU,
        seed=7,
        checkpoint=Checkpoint(folder, 0, "run"),
        meter=EnergyMeter(enabled=False, country=None, pue=1.0),
        callbacks=Callbacks([callback] if callback else []),
        log=EpochLog(Rows(folder / "epochs.jsonl"), "dense", 0),
    )


def moved(before, model):
    """The names of the tensors that a training has changed."""
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def learning(model, transfer, epoch=None):
    return {name for name, _ in model.named_parameters() if transfer.learns(name, epoch)}


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("head", {"9.weight", "9.bias"}),
        ("last:1", {"9.weight", "9.bias"}),
        ("last:2", {"4.weight", "4.bias", "9.weight", "9.bias"}),
        ("norm", {"1.weight", "1.bias", "9.weight", "9.bias"}),
        ("4", {"4.weight", "4.bias"}),
        ("*.bias", {"0.bias", "1.bias", "4.bias", "9.bias"}),
        ("[04]", {"0.weight", "0.bias", "4.weight", "4.bias"}),
    ],
)
def test_only_what_was_chosen_moves(data, tmp_path, trainable, expected):
    model = network()
    before, transfer = state(model), resolved(model, SHAPE, trainable)
    assert learning(model, transfer) == expected
    train(model, data, replace(RECIPE, epochs=1, transfer=transfer), tmp_path)
    statistics = {"1.running_mean", "1.running_var", "1.num_batches_tracked"} if "1.bias" in expected else set()
    if "4.bias" in expected:
        statistics |= {"5.running_mean", "5.running_var", "5.num_batches_tracked"}
    assert moved(before, model) == expected | statistics
    assert all(parameter.requires_grad for parameter in model.parameters())  # for what comes after
    [row] = Rows(tmp_path / "epochs.jsonl").read()
    assert row["params_trainable"] == sum(p.numel() for n, p in model.named_parameters() if n in expected)


def test_a_head_learns_as_in_a_plain_loop_on_the_features(data, tmp_path):
    """Its dropout acts; that of the frozen layers does not, and draws nothing."""
    ours = train(network(), data, replace(RECIPE, transfer=resolved(network(), SHAPE, "head")), tmp_path)
    model = network().eval()
    trunk, head = model[:8], model[8:].train()
    optimizer = sgd(head, lr=0.05, weight_decay=1e-3)
    mean, std = (torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (data.mean, data.std))
    for epoch in range(4):
        torch.manual_seed(derive_seed(7, epoch))
        for chosen in torch.randperm(len(data.train)).split(64)[: len(data.train) // 64]:
            with torch.no_grad():
                features = trunk(data.train.images[chosen] * (1 / std).float() + (-mean / std).float())
            optimizer.zero_grad()
            F.cross_entropy(head(features), data.train.labels[chosen]).backward()
            optimizer.step()
    torch.testing.assert_close(ours.state_dict(), model.state_dict(), rtol=1e-6, atol=1e-7)


def test_frozen_parts_are_in_eval_mode():
    model = network()
    freezing = Freezing(model, resolved(model, SHAPE, "head"))
    assert freezing.freeze()
    freezing.train()
    training = {name for name, module in model.named_children() if module.training}
    assert training & {"0", "1", "3", "4", "5", "8", "9"} == {"8", "9"}
    assert freezing.count == 970
    freezing.release()
    freezing.freeze()
    block = resnet(**IMAGES, depth=8)
    freezing = Freezing(block, resolved(block, SHAPE, "last:2"))
    freezing.freeze()
    freezing.train()
    training = {name for name, module in block.named_modules() if module.training}
    assert {"5", "5.bn1", "5.bn2", "9"} <= training
    assert not training & {"1", "3", "3.bn1", "4", "4.bn2"}
    transformer = vit(**IMAGES, dim=16, heads=2, depth=2, dropout=0.1)
    freezing = Freezing(transformer, resolved(transformer, SHAPE, "head"))
    freezing.freeze()
    freezing.train()
    assert not any(module.training for module in transformer.modules() if isinstance(module, nn.Dropout))


def test_all_learns_by_default_and_nothing_is_touched():
    model = network()
    freezing = Freezing(model, Transfer())
    assert not freezing.freeze(0)
    freezing.train()
    assert all(module.training for module in model.modules())
    assert resolved(model, SHAPE, "all") == Transfer()
    assert described(Transfer(), model, "all") == []


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"trainable": "last:4"}, "trainable=last:4: the model has 3 parts (allowed: last:1 to last:3)"),
        ({"trainable": "layer9.*"}, "trainable=layer9.*: fits no layer or parameter"),
        ({"trainable": "head", "unfreeze": 1}, "unfreeze=1: with trainable=head only one part learns"),
    ],
)
def test_what_is_not_there_is_refused(keys, message):
    with pytest.raises(UserError) as caught:
        resolved(network(), SHAPE, **keys)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="trainable=norm: this model has no norms"):
        resolved(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), SHAPE, "norm")


def test_masks_and_quantizers_of_frozen_layers_stay(data, tmp_path):
    model = network()
    transfer = resolved(model, SHAPE, "head")
    for layer in (model[0], model[9]):
        mask_of(layer, "weight").keep = torch.rand_like(layer.weight) > 0.5
    assert plain_name("0.parametrizations.weight.original") == "0.weight"
    assert learning(model, transfer) == {"9.bias", "9.parametrizations.weight.original"}
    before = state(model)
    train(model, data, replace(RECIPE, epochs=1, transfer=transfer), tmp_path)
    assert moved(before, model) == {"9.bias", "9.parametrizations.weight.original"}
    assert int((model[9].weight == 0).sum()) >= 400
    scale = "3.conv1.parametrizations.weight.1.scale"
    assert Transfer(("3.conv1",)).learns(scale)
    assert Transfer(("3.conv1.weight",)).learns(scale)
    assert not Transfer(("9",)).learns(scale)


def test_learned_steps_of_frozen_layers_stay(data, tmp_path):
    model = resnet(**IMAGES, depth=8, width=0.25)
    transfer = resolved(model, SHAPE, "last:2")
    found = {}

    def fit_once(model, **keys):
        found.update(before=state(model))
        return train(model, data, replace(RECIPE, epochs=1, transfer=transfer), tmp_path)

    batches = [(torch.randn(32, *SHAPE, generator=torch.Generator().manual_seed(0)), torch.zeros(32))]
    trainer = SimpleNamespace(
        fit=fit_once, calibration_batches=lambda *_: batches, device=CPU, recipe=RECIPE, input_shape=SHAPE
    )
    keys = {
        "activation_bits": None,
        "bits_file": None,
        "first_last": None,
        "per_channel": False,
        "epochs": 1,
        "lr_scale": 0.1,
    }
    lsq(model, trainer, level=4, **keys)
    changed = {name for name in moved(found["before"], model) if "scale" in name}
    assert changed
    assert all(name.startswith(("5.", "9.")) for name in changed)


def test_what_is_left_of_the_names_must_be_something(data, tmp_path):
    with pytest.raises(RunError, match="nothing is left to train of gone"):
        train(network(), data, replace(RECIPE, transfer=Transfer(("gone",))), tmp_path)


def test_learning_rates_fall_with_depth(data, tmp_path):
    model = network()
    transfer = resolved(model, SHAPE, "all", layer_decay=0.5)
    factors = {name: transfer.lr_factor(name) for name, _ in model.named_parameters()}
    assert factors == {
        **dict.fromkeys(("0.weight", "0.bias", "1.weight", "1.bias"), 0.25),
        **dict.fromkeys(("4.weight", "4.bias"), 0.5),
        **dict.fromkeys(("9.weight", "9.bias"), 1.0),
    }
    assert described(transfer, model, "all") == ["optimizer.layer_decay=0.5: from 0.25 to 1 times the learning rate"]
    before = state(model)
    plain = partial(torch.optim.SGD, lr=0.1)
    recipe = replace(RECIPE, epochs=1, batch_size=160, optimizer=lambda m: plain(m.parameters()), transfer=transfer)
    train(model, data, recipe, tmp_path / "a")  # one step
    even = train(network(), data, replace(recipe, transfer=Transfer()), tmp_path / "b")
    for name, factor in factors.items():
        step, whole = (after.state_dict()[name] - before[name] for after in (model, even))
        torch.testing.assert_close(step, factor * whole, rtol=1e-3, atol=1e-7)
    [row] = Rows(tmp_path / "a" / "epochs.jsonl").read()
    assert row["lr"] == 0.1  # of the last part


def test_parts_are_unfrozen_one_after_another(data, tmp_path):
    model = network()
    transfer = resolved(model, SHAPE, "all", unfreeze=1)
    before = state(model)
    train(model, data, replace(RECIPE, epochs=2, transfer=transfer), tmp_path)
    assert {name.partition(".")[0] for name in moved(before, model)} == {"4", "5", "9"}
    rows = Rows(tmp_path / "epochs.jsonl").read()
    assert [row["params_trainable"] for row in rows] == [970, 970 + 222]
    assert rows[0]["training_flops"] < rows[1]["training_flops"]
    assert learning(model, transfer, 2) == learning(model, transfer) == {name for name, _ in model.named_parameters()}
    slow = resolved(model, SHAPE, "*.bias", unfreeze=2)
    assert [len(learning(model, slow, epoch)) for epoch in range(6)] == [1, 1, 2, 2, 4, 4]


@pytest.mark.parametrize("killed_after", [1, 3])
@pytest.mark.parametrize(
    "keys", [{"trainable": "last:2"}, {"trainable": "all", "unfreeze": 1, "layer_decay": 0.7}, {"trainable": "norm"}]
)
def test_a_resumed_training_ends_bit_identical(data, tmp_path, keys, killed_after):
    optimizer = partial(adamw, lr=0.01)
    transfer = resolved(network(), SHAPE, **keys)
    recipe = replace(RECIPE, transfer=transfer, optimizer=optimizer, ema=0.9, schedule=one_cycle)
    whole = train(network(), data, recipe, tmp_path / "a")
    with pytest.raises(Killed):
        train(network(), data, recipe, tmp_path / "b", KilledAfter(killed_after))
    resumed = train(network(), data, recipe, tmp_path / "b")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_no_gradient_is_computed_for_frozen_layers():
    model = network()
    forward = 2 * (36 * 4 * 9 + 16 * 6 * 4 * 9 + 96 * 10)
    head, conv = 2 * 96 * 10, 2 * 16 * 6 * 4 * 9
    freezing = Freezing(model, resolved(model, SHAPE, "head"))
    freezing.freeze()
    assert step_flops(model, [], SHAPE) == forward + head
    freezing.release()
    freezing = Freezing(model, resolved(model, SHAPE, "last:2"))
    freezing.freeze()
    assert step_flops(model, [], SHAPE) == forward + 2 * head + conv
