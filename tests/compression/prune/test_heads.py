"""Attention heads are gone, those that matter least, and with the effect of setting their output to zero."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from effdl.compression.prune.heads import head_importance, heads, least_important, number_to_remove, remove_heads
from effdl.models.resnet import resnet
from effdl.models.structure import apply, changes
from effdl.models.vit import Attention, vit
from effdl.utils.errors import UserError

SHAPE = (3, 8, 8)


def network():
    torch.manual_seed(0)
    return vit(3, 8, 10, dim=24, depth=2, heads=4).eval()


def attentions(model):
    return [module for module in model.modules() if isinstance(module, Attention)]


def test_a_removed_head_gives_what_a_head_of_zeros_gives():
    model, images = network(), torch.randn(5, *SHAPE)
    silent = copy.deepcopy(model)
    for attention, gone in zip(attentions(silent), [[1], [0, 3]], strict=True):
        for head in gone:
            attention.projection.weight.data[:, 6 * head : 6 * head + 6] = 0
    for attention, gone in zip(attentions(model), [[1], [0, 3]], strict=True):
        remove_heads(attention, gone)
    assert [attention.qkv.out_features for attention in attentions(model)] == [3 * 18, 3 * 12]
    torch.testing.assert_close(model(images), silent(images))


def test_a_smaller_model_has_fewer_macs_and_can_be_stored():
    model = network()
    for attention in attentions(model):
        remove_heads(attention, [0, 2])

    def macs(model):
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, *SHAPE))
        return counter.get_total_flops() // 2

    tokens, dim = (
        4,
        24,
    )  # half of the projections (4 dim^2 a token) and of the products (2 tokens x dim a token) is gone
    assert macs(network()) - macs(model) == 2 * tokens * (4 * dim * dim + 2 * tokens * dim) / 2
    again = network()
    apply(again, changes(model, network()))
    again.load_state_dict(model.state_dict())
    images = torch.randn(3, *SHAPE)
    assert torch.equal(again(images), model(images))


def test_the_importance_is_the_change_of_the_loss_to_first_order():
    """Against the derivative by a gate on each head, which is how the paper defines it."""
    model, images, labels = network(), torch.randn(6, *SHAPE), torch.randint(10, (6,))
    gates = torch.ones(2, 4, requires_grad=True)
    found = [torch.zeros(4), torch.zeros(4)]
    for image, label in zip(images, labels, strict=True):
        hooks = [
            attention.projection.register_forward_pre_hook(
                lambda module, inputs, gate=gate: (inputs[0] * gate.repeat_interleave(6),)
            )
            for attention, gate in zip(attentions(model), gates, strict=True)
        ]
        loss = F.cross_entropy(model(image[None]), label[None])
        for hook in hooks:
            hook.remove()
        [gradient] = torch.autograd.grad(loss, gates)
        found = [total + values.abs() for total, values in zip(found, gradient, strict=True)]
    scores = head_importance(model, [(images[:4], labels[:4]), (images[4:], labels[4:])])
    for values, expected in zip(scores, found, strict=True):
        torch.testing.assert_close(values, expected / expected.norm())


def test_the_best_head_of_every_layer_stays():
    scores = [torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.9, 0.4, 0.05])]
    assert least_important(scores, 2) == [[0], [2]]
    assert least_important(scores, 4) == [[0, 1], [1, 2]]
    assert [number_to_remove([3, 3], level) for level in (0.01, 0.5, 0.34)] == [1, 3, 3]
    assert number_to_remove([10], 0.3) == 3


def test_the_method_removes_and_fine_tunes(make_trainer):
    trainer = make_trainer(shape=SHAPE)
    pruned = heads(network(), trainer, level=0.5, images=16, epochs=3, lr_scale=0.2)
    assert sum(attention.projection.in_features for attention in attentions(pruned)) == 4 * 6
    assert [(asked.epochs, asked.lr_scale) for asked in trainer.asked] == [(3, 0.2)]


@pytest.mark.parametrize(
    ("model", "level", "message"),
    [
        (lambda: resnet(3, 8, 10), 0.5, "needs the attention of model=vit"),
        (network, 0.8, r"of 8 heads one must stay in each of 2 layers \(allowed with heads: at most 0.75\)"),
    ],
)
def test_what_cannot_be_is_refused_before_any_training(model, level, message):
    with pytest.raises(UserError, match=message):
        heads.check(model(), level)
