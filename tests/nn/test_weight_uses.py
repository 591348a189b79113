"""How often weights are multiplied: counted by hand."""

import pytest
import torch
from torch import nn

from effdl.nn.weight_uses import Positions, count_positions, uses


@pytest.mark.parametrize(
    ("layer", "shape", "positions", "times"),
    [
        (nn.Conv2d(6, 4, 3, stride=(2, 1)), (1, 6, 9, 8), Positions(72, 4 * 8, 4 * 6), 4 * 6),
        (nn.Conv2d(6, 4, 3, groups=2), (2, 6, 5, 5), Positions(50, 2 * 3 * 5, 18), 18),
        (nn.Conv1d(2, 3, 4), (1, 2, 10), Positions(10, 0, 7), 7),
        (nn.ConvTranspose2d(6, 4, 2, stride=2), (1, 6, 5, 5), Positions(25, 0, 100), 25),
        (nn.Linear(10, 7), (2, 3, 10), Positions(6, 0, 6), 6),
    ],
)
def test_each_element_is_multiplied_once_per_position(layer, shape, positions, times):
    total, found = count_positions(layer.eval(), torch.zeros(shape))
    assert found == {(layer, "weight"): [positions]}
    assert uses(layer, positions) == times
    assert total == layer.weight.numel() * times


def test_attention_is_counted_for_queries_keys_and_values():
    class Cross(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 1, batch_first=True)

        def forward(self, x):  # 3 queries, 5 keys and values
            return self.attention(x[:, :3], x[:, 3:], value=x[:, 3:])[0]

    model = Cross().eval()
    total, found = count_positions(model, torch.zeros(2, 8, 8))
    assert found == {
        (model.attention, "in_proj_weight"): [Positions(6, 0, 6), Positions(10, 0, 10), Positions(10, 0, 10)],
        (model.attention.out_proj, "weight"): [Positions(6, 0, 6)],
    }
    assert total == 64 * (6 + 10 + 10 + 6) + 2 * 2 * 3 * 5 * 8


def test_calls_are_summed_and_arguments_may_have_names():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(input=self.layer(x))

    model = Twice().eval()
    assert count_positions(model, torch.zeros(3, 4)) == (2 * 3 * 16, {(model.layer, "weight"): [Positions(6, 0, 6)]})


def test_no_hook_is_left_after_an_error():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(3, 4)).eval()
    with pytest.raises(RuntimeError):
        count_positions(model, torch.zeros(1, 4))
    assert not any(module._forward_hooks for module in model.modules())
