"""FLOPs of a training step, against counts by hand."""

import copy
import logging
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from effdl.compression.distill.logits import SoftTargets
from effdl.compression.distill.mutual import mutual
from effdl.nn.mask import mask_of
from effdl.training.flops import step_flops


def mlp(hidden=30):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def mutual_loss(peer):
    """The distillation loss of deep mutual learning with a peer."""
    trainer = SimpleNamespace(
        dense=None,
        fresh_model=lambda: peer,
        device=SimpleNamespace(move=lambda model: model),
        recipe=SimpleNamespace(label_smoothing=0.0),
        data=SimpleNamespace(unlabelled=None),
    )
    return mutual(None, trainer, level="peer", temperature=1.0, weight=1.0)


def by_hand(hidden):
    """Every layer forward and for its weight's gradient, the second one also for its input's."""
    return 2 * (2 * 64 * hidden + 3 * hidden * 10)


def test_a_network_of_two_layers():
    assert step_flops(mlp(), [], (1, 8, 8)) == by_hand(30)


def test_grouped_convolutions_count_what_they_multiply():
    first, second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
    model = nn.Sequential(first, nn.BatchNorm2d(8), second, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    forward = [2 * 64 * 3 * 9 * 8, 2 * 64 * 9 * 8, 2 * 8 * 10]
    assert step_flops(model, [], (3, 8, 8)) == 2 * forward[0] + 3 * forward[1] + 3 * forward[2]


def test_dense_convolutions_agree_with_the_counter_of_pytorch():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3, stride=2), nn.Flatten(), nn.Linear(32, 10))
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(model(torch.randn(1, 1, 8, 8)), torch.zeros(1, dtype=torch.int64)).backward()
    assert step_flops(model, [], (1, 8, 8)) == counter.get_total_flops()


def test_a_teacher_is_charged_its_forward_pass():
    teacher = mlp(100).eval().requires_grad_(False)
    assert step_flops(mlp(), [SoftTargets(teacher, 4.0, 0.5)], (1, 8, 8)) == by_hand(30) + 2 * (64 * 100 + 100 * 10)


def test_a_peer_is_trained_too():
    assert step_flops(mlp(), [mutual_loss(mlp(50))], (1, 8, 8)) == by_hand(30) + by_hand(50)


def test_masked_weights_are_multiplied_all_the_same():
    """Their parametrizations begin at leaves of the graph, at which PyTorch's counter fails."""
    model = mlp()
    for layer in (model[1], model[3]):
        mask_of(layer, "weight").keep = torch.rand_like(layer.weight) > 0.5
    assert step_flops(model, [], (1, 8, 8)) == by_hand(30)


def test_nothing_is_changed():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 10))
    model[1].eval()
    peer = mutual_loss(copy.deepcopy(model).train())
    before = copy.deepcopy([*model.state_dict().values(), *peer.state_dict().values()])
    modes = [module.training for module in [*model.modules(), *peer.modules()]]
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    assert step_flops(model, [peer], (1, 8, 8)) > 0
    assert torch.equal(torch.rand(3), expected)
    after = [*model.state_dict().values(), *peer.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert [module.training for module in [*model.modules(), *peer.modules()]] == modes
    assert all(parameter.grad is None for parameter in [*model.parameters(), *peer.parameters()])
    assert torch.is_grad_enabled()


def test_what_an_objective_keeps_is_not_changed():
    class Centered(nn.Module):
        def __init__(self):
            super().__init__()
            self.shape, self.center = (2, 1, 8, 8), nn.Buffer(torch.zeros(10))

        def forward(self, images, targets, features):
            self.center.data = features.detach().mean(0)  # as lightly's DINOLoss does, in evaluation mode too
            return features.square().mean()

    objective = Centered()
    assert step_flops(mlp(), [], (1, 8, 8), objective) > 0
    assert torch.equal(objective.center, torch.zeros(10))


def test_a_model_that_cannot_be_counted_is_trained_all_the_same(caplog):
    class OnlyInTraining(nn.Module):
        def forward(self, x):
            raise ValueError("not now")

    with caplog.at_level(logging.WARNING):
        assert step_flops(nn.Sequential(mlp(), OnlyInTraining()), [], (1, 8, 8)) is None
    [record] = caplog.records
    assert record.getMessage() == "the FLOPs of the training are not counted: ValueError('not now')"
