"""The pruning step: exact in all its combinations, and each schedule as its paper has it."""

import json
import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.compression.prune.sparsity_schedules import cubic, geometric
from effdl.nn.layers import weights
from effdl.nn.mask import mask_of
from effdl.utils.errors import UserError
from effdl.utils.rows import Rows


def network(seed=0):
    torch.manual_seed(seed)
    convolutions = [nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, bias=False), nn.ReLU()]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(256, 20), nn.ReLU(), nn.Linear(20, 10)).eval()


def tensors(model):
    return {name: getattr(module, attribute).detach() for name, module, attribute in weights(model)}


def zeros(model):
    return sum(int((tensor == 0).sum()) for tensor in tensors(model).values())


def total(model):
    return sum(tensor.numel() for tensor in tensors(model).values())


def watched(trainer):
    """A list to which every update of the trainer's trainings adds the fraction of zeros."""
    seen = []
    trainer.looks.append(lambda model, progress: seen.append(zeros(model) / total(model)))
    return seen


@pytest.mark.parametrize("schedule", ["one_shot", "iterative", "gradual", "soft"])
@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("name", ["magnitude", "random", "snip", "taylor", "synflow"])
def test_the_sparsity_is_exact(schedule, scope, name, trainer, pruned):
    trainer.batches = 2
    model = pruned(network(), trainer, 0.8371, name=name, schedule=schedule, scope=scope, rounds=3, passes=2)
    assert zeros(model) == round(0.8371 * total(model))
    if scope == "layer":
        for tensor in tensors(model).values():
            assert abs(int((tensor == 0).sum()) - 0.8371 * tensor.numel()) <= 2
    for _, module, attribute in weights(model):  # the zeros are held, not only there
        assert torch.equal(getattr(module, attribute) != 0, mask_of(module, attribute).keep)
    trainer.fit(model, epochs=1)
    assert zeros(model) == round(0.8371 * total(model))


@pytest.mark.parametrize("schedule", ["iterative", "gradual", "soft"])
@pytest.mark.parametrize("name", ["random", "taylor"])
def test_the_same_seed_gives_the_same_model(schedule, name, make_trainer, pruned, tmp_path):
    models = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()
        trainer = make_trainer(folder=folder, batches=2)
        models.append(pruned(network(), trainer, 0.5, name=name, schedule=schedule, rounds=2).state_dict())
    assert models[0].keys() == models[1].keys()
    assert all(torch.equal(models[0][key], models[1][key]) for key in models[0])


def test_iterative_prunes_and_trains_in_turn(trainer, pruned):
    trainer.batches, seen = 1, watched(trainer)
    model = pruned(network(), trainer, 0.9, schedule="iterative", rounds=4, epochs=1)
    assert len(trainer.asked) == 4
    assert seen == pytest.approx(geometric(0.0, 0.9, 4), abs=1 / total(model))


def test_many_rounds_without_training_choose_the_same_weights(trainer, pruned):
    once, often = pruned(network(), trainer, 0.9), pruned(network(), trainer, 0.9, schedule="iterative", rounds=5)
    passes = pruned(network(), trainer, 0.9, passes=7)
    for one, other, third in zip(*(tensors(model).values() for model in (once, often, passes)), strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, third)


def test_gradual_follows_the_cubic_schedule(trainer, pruned):
    trainer.batches, seen = 20, watched(trainer)
    model = pruned(network(), trainer, 0.9, schedule="gradual", rounds=6, epochs=2)
    size = total(model)
    steps = [(step + 1) / 40 for step in range(40)]
    expected = [cubic(0.0, 0.9, min(math.floor(progress / 0.75 * 6), 6) / 6) for progress in steps]
    assert seen == pytest.approx(expected, abs=0.5 / size + 1e-9)
    assert seen[:4] == [0, 0, 0, 0]
    assert seen[4] == pytest.approx(0.9 * (1 - (5 / 6) ** 3), abs=1 / size)
    assert seen[30:] == [zeros(model) / size] * 10  # the last quarter at constant masks
    assert len(trainer.asked) == 1


def test_gradual_brings_nothing_back(trainer, pruned):
    trainer.batches, before = 20, None

    def look(model, progress):
        nonlocal before
        now = {name: tensor == 0 for name, tensor in tensors(model).items()}
        assert before is None or all((now[name] | ~before[name]).all() for name in now)
        before = now

    trainer.looks.append(look)
    pruned(network(), trainer, 0.9, schedule="gradual", rounds=6, epochs=2)
    assert any(mask.any() for mask in before.values())


def test_soft_lets_weights_come_back_until_the_end(trainer, pruned):
    trainer.batches, masks, seen = 10, [], watched(trainer)

    def look(model, progress):
        if abs(progress * 3 - round(progress * 3)) < 1e-6:
            masks.append({name: tensor != 0 for name, tensor in tensors(model).items()})

    trainer.looks.append(look)
    model = pruned(network(), trainer, 0.6, schedule="soft", epochs=3, lr_scale=3.0)
    wanted = round(0.6 * total(model)) / total(model)
    at_the_end_of_an_epoch = [seen[index] for index in (9, 19, 29)]
    assert at_the_end_of_an_epoch == [wanted] * 3
    assert all(sparsity < 0.01 for index, sparsity in enumerate(seen) if index not in (9, 19, 29))
    final = tensors(model)
    assert any((final[name][~masks[0][name]] != 0).any() for name in final)  # zero after the first epoch, not now
    assert all(torch.equal(final[name] != 0, masks[-1][name]) for name in final)  # the last cut changed nothing


class KilledAfterTwo:
    """Ends a training after its second epoch."""

    def epoch_end(self, row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("schedule", ["gradual", "soft"])
@pytest.mark.parametrize("name", ["magnitude", "random"])
def test_a_training_that_was_cut_off_ends_the_same(schedule, name, make_trainer, pruned, tmp_path):
    """What a step knows of its training is in the state dict and the progress, so a resumed run repeats it."""

    def end(folder, callback=None):
        trainer = make_trainer(folder=tmp_path / folder, batches=8, callback=callback)
        model = network()
        torch.manual_seed(1)
        return pruned(model, trainer, 0.7, name=name, schedule=schedule, rounds=4, epochs=3).state_dict()

    for folder in ("whole", "killed"):
        (tmp_path / folder).mkdir()
    whole = end("whole")
    with pytest.raises(KeyboardInterrupt):
        end("killed", KilledAfterTwo())
    assert len(Rows(tmp_path / "killed/epochs.jsonl").read()) == 2
    resumed = end("killed")
    assert len(Rows(tmp_path / "killed/epochs.jsonl").read()) == 3
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)


@pytest.mark.parametrize("schedule", ["gradual", "soft"])
def test_a_training_without_epochs_still_prunes(schedule, trainer, pruned):
    model = pruned(network(), trainer, 0.7, schedule=schedule, epochs=0)
    once = pruned(network(), trainer, 0.7)
    assert all(torch.equal(a, b) for a, b in zip(tensors(model).values(), tensors(once).values(), strict=True))


@pytest.mark.parametrize("schedule", ["one_shot", "iterative", "gradual", "soft"])
def test_an_earlier_step_s_zeros_stay_and_count(schedule, trainer, pruned):
    trainer.batches = 2
    model = pruned(network(), trainer, 0.5)
    before = {name: tensor == 0 for name, tensor in tensors(model).items()}
    model = pruned(model, trainer, 0.8, name="random", schedule=schedule, rounds=3)
    assert zeros(model) == round(0.8 * total(model))
    assert all((tensor[before[name]] == 0).all() for name, tensor in tensors(model).items())
    for _, module, attribute in weights(model):
        assert len(module.parametrizations[attribute]) == 1  # the one mask says it all


def test_less_than_there_is_changes_nothing(trainer, pruned):
    model = pruned(network(), trainer, 0.8)
    before = tensors(model)
    model = pruned(model, trainer, 0.5, name="random")
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors(model).items())


def test_excluded_layers_are_left_alone_and_count(trainer, pruned):
    model = network()
    names = list(tensors(model))
    before = tensors(model)
    for scope in ("global", "layer"):
        model = pruned(network(), trainer, 0.8, exclude=[names[0], names[-1]], scope=scope)
        after = tensors(model)
        assert torch.equal(after[names[0]], before[names[0]])
        assert torch.equal(after[names[-1]], before[names[-1]])
        assert zeros(model) == round(0.8 * total(model))
        for name, module, _ in weights(model):
            assert parametrize.is_parametrized(module) == (name not in (names[0], names[-1]))


def test_zeros_of_excluded_layers_count(trainer, pruned):
    model = pruned(network(), trainer, 0.5)
    names = list(tensors(model))
    before = tensors(model)
    model = pruned(model, trainer, 0.75, exclude=[names[0]])
    assert torch.equal(tensors(model)[names[0]], before[names[0]])
    assert zeros(model) == round(0.75 * total(model))


def test_a_level_that_the_other_layers_cannot_reach(trainer, pruned):
    model = network()
    largest = max(tensors(model), key=lambda name: tensors(model)[name].numel())
    rest = 1 - tensors(model)[largest].numel() / total(model)
    with pytest.raises(UserError, match=rf"prune=0.9: the layers to prune hold {rest:.4f} of the weights"):
        pruned(model, trainer, 0.9, exclude=[largest])
    assert trainer.asked == []


def test_amounts_of_a_file(trainer, pruned, tmp_path):
    """The file's amounts, if they lead to the level; else scaled to it, in the same order."""
    path, size = tmp_path / "amounts.json", {name: tensor.numel() for name, tensor in tensors(network()).items()}
    first, *others = size
    amounts = {first: 0.2, **dict.fromkeys(others, 0.6)}
    path.write_text(json.dumps(amounts))
    level = sum(amount * size[name] for name, amount in amounts.items()) / sum(size.values())
    model = pruned(network(), trainer, level, amounts=str(path))
    for name, tensor in tensors(model).items():
        assert abs(int((tensor == 0).sum()) - amounts[name] * size[name]) <= 1
        order = network().get_submodule(name).weight.detach().abs().flatten().sort().values
        assert tensor[tensor != 0].abs().min() >= order[int((tensor == 0).sum())]  # in a layer, the smallest
    model = pruned(network(), trainer, 0.9, amounts=str(path))
    assert zeros(model) == round(0.9 * total(model))
    parts = {name: float((tensor == 0).float().mean()) for name, tensor in tensors(model).items()}
    assert 0.2 < parts[first] < parts[others[0]]
    power = math.log(1 - parts[others[0]]) / math.log(0.4)
    assert parts[first] == pytest.approx(1 - 0.8**power, abs=1 / size[first])
