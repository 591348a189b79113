"""Low-rank factorization as a step: what it replaces, how it trains, what it refuses."""

import pytest
import torch
from torch import nn

from effdl.compression.factorize.lowrank import lowrank
from effdl.compression.method import kind_of
from effdl.config.compose import composed, settings
from effdl.config.validation import check_targets
from effdl.models.convnet import convnet
from effdl.utils.errors import UserError

OPTIONS = {"level": 0.5, "method": "tucker", "by": "macs", "rank": None, "exclude": [], "epochs": 3, "lr_scale": 0.5}


@pytest.fixture
def step(make_trainer):
    """Factorize with `OPTIONS` and what is given besides, without training."""
    return lambda model, shape=(1, 28, 28), **options: lowrank(
        model.eval(), make_trainer(shape=shape), **{**OPTIONS, **options}
    )


@pytest.mark.parametrize(("method", "kernels"), [("tucker", [1, 5, 1]), ("svd", [5, 1])])
def test_convolutions_with_a_window_follow_the_method(method, kernels, step):
    model = step(convnet(1, 28, 10), method=method, by="ratio")
    assert [part.kernel_size[0] for part in model[3]] == kernels
    assert [(part.in_features, part.out_features) for part in model[7]] == [(256, 100), (100, 200)]


@pytest.mark.parametrize("method", ["tucker", "svd"])
def test_1x1_convolutions_and_linear_layers_are_split_in_two(method, step):
    model = nn.Sequential(nn.Conv2d(40, 30, 1, stride=2), nn.Flatten(), nn.Linear(30 * 4, 20))
    model = step(model, (40, 4, 4), method=method, rank=4)
    assert [tuple(part.weight.shape) for part in model[0]] == [(4, 40, 1, 1), (30, 4, 1, 1)]
    assert [part.stride for part in model[0]] == [(2, 2), (1, 1)]
    assert [tuple(part.weight.shape) for part in model[2]] == [(4, 120), (20, 4)]


def test_it_is_fine_tuned_as_asked(make_trainer):
    trainer, layers = make_trainer(shape=(1, 28, 28), batches=1, batch_size=2), []
    trainer.looks.append(lambda model, progress: layers.append(type(model[3])))
    model = lowrank(convnet(1, 28, 10).eval(), trainer, **OPTIONS)
    assert trainer.asked == [(3, 0.5, 0)]
    assert layers == [nn.Sequential] * 3  # what is trained is already factorized
    assert not model.training
    assert kind_of(lowrank) == "structure"


def test_the_layers_hold_the_trained_weights_rank_by_rank(step):
    torch.manual_seed(0)
    model = convnet(1, 28, 10)
    before = model[7].weight.detach().clone()
    first, last = step(model, method="svd", rank=50)[7]
    u, s, vh = torch.linalg.svd(before.double(), full_matrices=False)
    best = (u[:, :50] * s[:50]) @ vh[:50]
    torch.testing.assert_close((last.weight @ first.weight).double(), best, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first.weight.norm(), last.weight.norm())  # balanced


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rank=0", r"compression.lowrank.rank=0: allowed is a whole number >= 1 and <= \d+, or null"),
        ("method=cp", r"compression.lowrank.method=cp: allowed is one of svd, tucker"),
        ("by=flops", r"compression.lowrank.by=flops: allowed is one of ratio, energy, macs, params"),
        ("exclude=stem", r"compression.lowrank.exclude=stem: allowed is a list"),
    ],
)
def test_wrong_values_are_refused_before_any_training(override, message):
    config = settings(
        composed(["model=resnet", "factorize=0.5", "compression=[lowrank]", f"compression.lowrank.{override}"], None)
    )
    with pytest.raises(UserError, match=message):
        check_targets(config)
