"""Which steps may follow which."""

import itertools

import pytest
from torch import nn

from effdl.compression.method import check_fits, compression_method, kind_of
from effdl.compression.pipeline import DOES, check_order
from effdl.utils.errors import UserError

WORKS = [
    "structure mask values",
    "structure structure mask mask conversion",
    "mask values",
    "training structure mask conversion",
    "distillation_loss structure distillation_loss mask distillation_loss conversion distillation_loss",
    "mask",
    "",
]
REFUSED = {
    "mask structure": "b cannot come after a, which sets weights to zero: what changes the shapes of layers comes",
    "values structure": "which shares or quantizes weights",
    "values mask": "which shares or quantizes weights: what sets weights to zero comes first",
    "values values": "b cannot come after a, the weights are quantized already",
    "conversion conversion": "the weights are quantized already",
    "conversion mask": "which converts the model for its runtime: nothing may change or train it after that",
    "conversion structure": "nothing may change or train it after that",
    "structure training": "whose work a newly trained model would lose: it comes first",
    "mask distillation_loss conversion distillation_loss mask": "e cannot come after c",
}


def named(kinds):
    return list(zip("abcdefgh", kinds.split(), strict=False))


@pytest.mark.parametrize("kinds", WORKS)
def test_chains_that_work(kinds):
    check_order(named(kinds))


@pytest.mark.parametrize("kinds", REFUSED)
def test_chains_that_cannot_work_are_refused_with_the_reason(kinds):
    with pytest.raises(UserError) as caught:
        check_order(named(kinds))
    assert REFUSED[kinds] in str(caught.value)


def test_nothing_but_a_distillation_loss_follows_a_conversion():
    for kind in (*DOES, "training"):
        with pytest.raises(UserError):
            check_order([("a", "conversion"), ("b", kind)])
    for before, kind in itertools.product((*DOES, "training", "conversion"), [None, "distillation_loss"]):
        check_order([("a", before), ("b", kind)])


def test_a_method_says_what_it_does_and_may_look_at_the_model_first():
    def check(model, *, layer):
        if not hasattr(model, layer):
            raise UserError(f"layer={layer}")

    @compression_method("mask", check)
    def method(model, trainer, *, level, layer): ...

    assert kind_of(method) == "mask"
    assert kind_of(print) is None
    check_fits(method, nn.Linear(2, 2), {"level": 0.5, "layer": "weight", "stage": "prune"})
    check_fits(print, nn.Linear(2, 2), {})
    with pytest.raises(UserError, match="layer=none"):
        check_fits(method, nn.Linear(2, 2), {"level": 0.5, "layer": "none"})


def test_what_is_no_method_is_refused_where_it_is_marked():
    with pytest.raises(TypeError, match=r"compression_method\('maks'\): allowed is one of structure, mask"):
        compression_method("maks")
    with pytest.raises(TypeError, match=r"alone is no compression method: it must take \(model, trainer, \*, keys\)"):

        @compression_method("mask")
        def alone(model, *, level): ...
