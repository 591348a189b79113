"""Network slimming: the penalty of the paper, and the filters of the smallest scales removed."""

from functools import partial

import pytest
import torch
from torch import nn

from effdl.compression.prune.slimming import slimming
from effdl.models.lenet5 import lenet5
from effdl.models.mobilenetv2 import mobilenetv2
from effdl.models.resnet import resnet
from effdl.models.vgg import vgg
from effdl.training.optimizers import sgd
from effdl.utils.errors import UserError
from effdl.utils.rows import Rows

pytest.importorskip("torch_pruning")
GIVEN = {
    "target": "filters",
    "strength": 1e-4,
    "sparse_epochs": 4,
    "sparse_lr_scale": 1.0,
    "round_to": 1,
    "exclude": [],
    "epochs": 2,
    "lr_scale": 0.2,
}


@pytest.fixture
def trainer(make_trainer):
    """It notes what it is asked for; with ``batches = 25``, gradient steps of rate 1 on the penalty alone follow."""
    plain = partial(sgd, lr=1.0, momentum=0.0, nesterov=False, weight_decay=0.0)
    return make_trainer(shape=(3, 16, 16), batch_size=2, optimizer=plain, loss=lambda logits, loss: 0 * loss)


def norms(model):
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def total_scale(model):
    """Sum of the absolute scales of all norms."""
    return sum(float(module.weight.abs().sum()) for module in norms(model))


def with_scales(model):
    torch.manual_seed(0)
    for module in norms(model):
        nn.init.uniform_(module.weight, -1, 1)
    return model.eval()


def test_the_penalty_is_lambda_times_the_sum_of_absolute_scales(trainer, tmp_path):
    """100 steps of learning rate 1 shrink every scale by 100 x 0.0001, or to zero, before filters are removed."""
    model, shrunken = with_scales(vgg(3, 16, 10, depth=11, width=0.25)), []
    before = [module.weight.detach().clone() for module in norms(model)]
    trainer.batches = 25
    trainer.looks.append(lambda model, progress: shrunken.append(total_scale(model)))
    slim = slimming(model, trainer, level=1 / 1e6, **{**GIVEN, "round_to": 4})
    assert trainer.asked == [(4, 1.0, 0), (2, 0.2, 0)]
    losses = [row["loss"] for row in Rows(tmp_path / "epochs.jsonl").read()]
    scales = [sum(float(scale.abs().sum()) for scale in before), *shrunken[:99]]  # before each step
    assert losses[:4] == pytest.approx([1e-4 * sum(scales[25 * n : 25 * n + 25]) / 25 for n in range(4)], rel=1e-4)
    assert losses[4:] == [0, 0]  # of fine-tuning
    shrunk = sum(float((scale.abs() - 0.01).clamp(min=0).sum()) for scale in before)
    assert shrunken[99] == pytest.approx(shrunk, rel=1e-3)
    left = [module.weight.detach() for module in norms(slim)]
    same = [(old, new) for old, new in zip(before, left, strict=True) if len(old) == len(new)]
    assert len(same) == len(before) - 1  # one block of four filters of one layer is gone
    for old, new in same:
        torch.testing.assert_close(new, old - old.sign() * old.abs().clamp(max=0.01), rtol=0, atol=1.1e-4)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.7])
def test_the_filters_of_smallest_scale_in_the_whole_network_go(level, trainer):
    model = with_scales(vgg(3, 16, 10, depth=11, width=0.25))
    scales = [module.weight.detach().clone().abs() for module in norms(model)]
    total = sum(len(scale) for scale in scales)
    threshold = torch.cat(scales).sort().values[round(level * total)]
    slim = slimming(model, trainer, level=level, **{**GIVEN, "strength": 1e-12})
    for module, scale in zip(norms(slim), scales, strict=True):
        torch.testing.assert_close(module.weight.abs(), scale[scale >= threshold], rtol=0, atol=1e-6)


def test_shared_filters_count_by_the_mean_of_their_scales(trainer):
    model = with_scales(resnet(3, 16, 10, depth=8))
    stem, block = norms(model)[0], norms(model)[2]  # both feed the first stage's sum
    mean = ((stem.weight.abs() + block.weight.abs()) / 2).detach()
    kept = stem.weight.detach().clone()
    slim = slimming(model, trainer, level=0.4, **{**GIVEN, "strength": 1e-12})
    left = norms(slim)[0].num_features
    assert 0 < left < 16
    torch.testing.assert_close(norms(slim)[0].weight, kept[mean.argsort()[16 - left :].sort().values])
    assert norms(slim)[2].num_features == left


def test_a_speed_up_and_a_multiple(trainer):
    model = slimming(with_scales(resnet(3, 16, 10)), trainer, level=2.0, **{**GIVEN, "round_to": 8})
    assert {module.num_features % 8 for module in norms(model)} == {0}
    assert model(torch.zeros(2, 3, 16, 16)).shape == (2, 10)
    assert slimming(with_scales(mobilenetv2(3, 16, 10, width=0.25)), trainer, level=0.3, **GIVEN)


def test_models_without_batch_norm_are_refused_before_training(trainer):
    with pytest.raises(UserError, match="slimming needs a model with batch norm"):
        slimming(lenet5(1, 8, 10), trainer, level=0.5, **GIVEN)
    with pytest.raises(UserError, match="exclude=layer9: fits no layer"):
        slimming(resnet(3, 16, 10, depth=8), trainer, level=0.5, **{**GIVEN, "exclude": ["layer9"]})
    assert trainer.asked == []
