"""Fine-tuning and the two kinds of rewinding."""

import pytest
import torch
from torch import nn

from effdl.compression.prune.retrain import Retraining, rewind
from effdl.models.resnet import resnet
from effdl.nn.layers import weights
from effdl.nn.mask import mask_of
from effdl.utils.errors import UserError


def network(seed):
    torch.manual_seed(seed)
    model = resnet(1, 8, 10, depth=8)
    with torch.no_grad():
        for buffer in model.buffers():
            buffer.add_(seed)
    return model


def test_what_each_asks_of_the_trainer(trainer):
    trainer.early_weights = network(1).state_dict
    model = network(0)
    for how, epochs, length in [
        ("finetune", None, 3),
        ("finetune", 2, 2),
        ("rewind_lr", None, 5),
        ("rewind_weights", None, 5),
        ("rewind_lr", 4, 3),  # a schedule of its own, for a run that began with trained weights
    ]:
        retraining = Retraining(trainer, how, rewind_epoch=1, epochs=epochs, lr_scale=0.2)
        assert retraining.length == length
        assert retraining(model) is model
    assert trainer.asked == [
        (3, 0.2, 0),  # half of the run's six
        (2, 0.2, 0),
        (6, 1.0, 1),
        (6, 1.0, 1),
        (4, 1.0, 1),
    ]


def test_weights_go_back_and_masks_stay():
    early, model = network(1), network(2)
    generator = torch.Generator().manual_seed(0)
    masks = {}
    for name, module, attribute in list(weights(model)):
        masks[name] = mask_of(module, attribute).keep
        masks[name].copy_(torch.rand(masks[name].shape, generator=generator) > 0.5)
    kept = {name: mask.clone() for name, mask in masks.items()}
    rewind(model, early.state_dict())
    for (name, module, _), (_, then, _) in zip(weights(model), weights(early), strict=True):
        assert torch.equal(masks[name], kept[name])
        assert torch.equal(module.weight, torch.where(kept[name], then.weight, 0.0))
    now = model.state_dict()
    same = [key for key in early.state_dict() if key in now]
    assert any("running_mean" in key for key in same)
    assert all(torch.equal(now[key], early.state_dict()[key]) for key in same)


def test_only_weight_rewinding_goes_back_to_weights(trainer, pruned):
    trainer.early_weights = network(1).state_dict
    for how, back in [("finetune", False), ("rewind_lr", False), ("rewind_weights", True)]:
        model = pruned(network(2), trainer, 0.5, retrain=how)
        reference = {name: getattr(module, attribute) for name, module, attribute in weights(network(1 if back else 2))}
        trained = {name: getattr(module, attribute).abs() for name, module, attribute in weights(network(2))}
        for name, module, attribute in weights(model):
            weight = getattr(module, attribute)
            assert torch.equal(weight[weight != 0], reference[name][weight != 0])
            # Those that were small when trained go, not those that were small early.
            assert trained[name][weight != 0].min() > trained[name][weight == 0].max()


def test_layers_that_an_earlier_step_changed(trainer):
    trainer.early_weights = network(1).state_dict
    model = network(2)
    model[3].conv1 = nn.Sequential(nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 3, padding=1))
    with pytest.raises(UserError, match=r"retrain=rewind_weights: 3.conv1.weight is not what it was"):
        Retraining(trainer, "rewind_weights", 1, None, 1.0)(model)
    assert trainer.asked == []


@pytest.mark.parametrize("how", ["rewind_lr", "rewind_weights"])
def test_an_epoch_that_the_run_does_not_have(trainer, how):
    with pytest.raises(UserError, match="rewind_epoch=7: allowed is at most epochs=6"):
        Retraining(trainer, how, 7, None, 1.0)
    assert Retraining(trainer, how, 6, None, 1.0).length == 0
