"""Hooks see what the modules compute, and none is left on them afterwards."""

import pytest
import torch
from torch import nn

from effdl.nn.hooks import forward_hooks


def hooks_on(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_a_hook_is_called_after_every_module_until_the_end_of_the_block():
    model, seen = nn.Sequential(nn.Linear(2, 3), nn.ReLU()), []
    with forward_hooks(model, lambda module, args, output: seen.append((module, args[0], output))):
        result = model(torch.ones(1, 2))
        assert hooks_on(model) == 2
    assert hooks_on(model) == 0
    assert [module for module, _, _ in seen] == list(model)
    assert seen[1][1] is seen[0][2]
    assert seen[1][2] is result
    model(torch.ones(1, 2))
    assert len(seen) == 2


def test_a_hook_before_the_forward_pass_sees_what_enters_and_one_after_it_may_replace_the_output():
    model, entering = nn.Linear(2, 2), []
    with forward_hooks([model], lambda module, args: entering.append(args[0]), before=True):
        model(x := torch.ones(1, 2))
    assert entering == [x]
    with forward_hooks([model], lambda module, args, output: args[0]):
        assert model(x) is x


def test_keyword_arguments_are_passed_on_request():
    model, seen = nn.Linear(2, 2), []
    with forward_hooks([model], lambda module, args, kwargs, output: seen.append((args, kwargs)), with_kwargs=True):
        model(input=(x := torch.ones(1, 2)))
    assert seen == [((), {"input": x})]


def test_hooks_are_removed_after_an_error_in_the_block_and_while_they_are_registered():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with pytest.raises(RuntimeError), forward_hooks(model, lambda *_: None):
        model(torch.ones(1, 3))
    assert hooks_on(model) == 0
    with pytest.raises(AttributeError):
        forward_hooks([*model, None], lambda *_: None)
    assert hooks_on(model) == 0


def test_hooks_of_other_code_stay():
    model = nn.ReLU()
    handle = model.register_forward_hook(lambda *_: None)
    with forward_hooks([model], lambda *_: None):
        assert hooks_on(model) == 2
    assert hooks_on(model) == 1
    handle.remove()


def test_without_a_block_hooks_live_until_they_are_closed():
    model = nn.ReLU()
    hooks = forward_hooks([model], lambda *_: None)
    assert hooks_on(model) == 1
    hooks.close()
    assert hooks_on(model) == 0
