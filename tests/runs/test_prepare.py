"""From a config to the parts of a run."""

import pytest
import torch
from torch import nn

from effdl.config.compose import composed, settings
from effdl.runs.prepare import prepare_run, recipe_of
from effdl.utils.errors import UserError


def config(*overrides: str) -> dict:
    return settings(composed(list(overrides), None))


def test_the_same_seed_builds_the_same_model_and_another_another():
    first, again, other = (prepare_run(config(f"seed={seed}", "model=mlp")).model.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_the_description_rebuilds_the_architecture_only():
    prepared = prepare_run(config("model=mlp", "model.hidden=[5]"))
    found = prepared.model_description("dense", prepared.model)
    assert (found["channels"], found["image_size"], found["classes"]) == (1, 8, 10)
    assert (found["stage"], found["config"]["hidden"]) == ("dense", [5])
    assert "weights" not in found["config"]
    assert found["structure"] == []


def test_the_recipe_is_what_the_config_says():
    recipe = recipe_of(config("augment=[flip_crop,mixup]", "epochs=7", "optimizer.lr=0.3", "ema=0.5"), 10)
    assert (recipe.epochs, recipe.ema, recipe.lr_scale) == (7, 0.5, 1.0)
    assert recipe.optimizer(torch.nn.Linear(2, 2)).param_groups[0]["lr"] == 0.3
    images, targets = torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.tensor([1, 2, 3, 4])
    for augment in recipe.augment:
        images, targets = augment(images, targets)
    assert targets.shape == (4, 10)


def test_a_line_says_which_labels_are_used_for_what():
    assert not [note for note in prepare_run(config("model=mlp")).notes if note.startswith("labels:")]
    prepared = prepare_run(config("model=mlp", "dataset.labelled=50", "distill=peer"))
    counts = "labels: 50 to train, 144 to validate, 360 to test; 1,243 training images have none"
    assert f"{counts}: distill=peer learns from them too" in prepared.notes
    assert "50 training, 144 validation and 360 test images, 1,243 without labels" in prepared.describe()
    alone = prepare_run(config("model=mlp", "dataset.labelled=50")).notes
    assert f"{counts}: nothing learns from them (distill=... or pretraining=... would)" in alone


def test_l1_is_a_penalty_on_the_weights():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    assert recipe_of(config(), 10).penalties == ()
    [penalty] = recipe_of(config("l1=0.5"), 10).penalties
    expected = 0.5 * sum(layer.weight.abs().sum() for layer in model)
    torch.testing.assert_close(penalty(model), expected)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["prune=2:5"], "5 does not divide the inputs of 3.conv1 (16)"),
        (["prune=0.5", "compression.magnitude.exclude=[layer9.*]"], "exclude=layer9.*: fits no layer"),
        (["factorize=0.5", "compression.lowrank.exclude=[x]"], "exclude=x: fits no layer"),
        (["prune=0.5", "compression=[filters]", "compression.filters.exclude=[x]"], "exclude=x: fits no layer"),
        (["quantize=int8", "compression=[int8,int8_aware]"], "int8_aware cannot come after int8"),
        (["prune=0.5", "factorize=0.5", "compression=[magnitude,lowrank]"], "lowrank cannot come after magnitude"),
        (["distill=nowhere"], "distill=nowhere: nowhere: no such model file"),
        (["distill=self"], "distill=self: no training follows the first"),
        (["distill=self", "compression.logits.during=[prun]"], "prun is no stage of this run (allowed: dense)"),
    ],
)
def test_what_cannot_work_is_refused_before_training(overrides, message):
    with pytest.raises(UserError) as caught:
        prepare_run(config(*overrides))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainable=last:40"], "trainable=last:40: the model has 11 parts (allowed: last:1 to last:11)"),
        (["trainable=16"], "trainable=16: fits no layer or parameter (allowed: all, head, norm, last:K, or a pattern"),
        (["cached_views=2"], "cached_views=2 has no effect: more than the last layer learns (it is read with"),
        (["cached_views=2", "trainable=head", "augment=[]"], "cached_views=2 has no effect: images are not augmented"),
        (
            ["cached_views=2", "trainable=head", "augment=[mixup]"],
            "cached_views=2 has no effect: the frozen layers run in every epoch: an augmentation blends images and",
        ),
        (
            ["cached_views=2", "trainable=head", "l1=0.1"],
            "cached_views=2 has no effect: the frozen layers run in every epoch: a penalty, a method or a distillation",
        ),
        (["unfreeze=5", "epochs=5"], "unfreeze=5: with epochs=5 the last part alone would learn (allowed: null, or a"),
        (["trainable=last:0"], "trainable=last:0: allowed is all, head, norm, last:K with K >= 1, or a pattern"),
        (["trainable=null"], "trainable=null: allowed is all, head, norm"),
    ],
)
def test_what_cannot_be_transferred_is_refused(overrides, message):
    with pytest.raises(UserError) as caught:
        prepare_run(config(*overrides))
    assert message in str(caught.value)


def test_what_learns_is_said():
    prepared = prepare_run(config("trainable=head", "optimizer.layer_decay=0.5"))
    assert prepared.recipe().transfer.learning == ("15",)
    assert prepared.notes == [
        "trainable=head: 650 of 269,434 parameters learn",
        "optimizer.layer_decay=0.5: from 0.000977 to 1 times the learning rate",
        "trainable=head: what does not learn keeps its random weights, as model.weights=null",
    ]
    assert prepare_run(config("trainable=15")).recipe().transfer.learning[0] == "15"


def test_a_teacher_that_cannot_train_on_single_images_is_refused():
    teacher = ("+model@teacher=mlp", "teacher.batchnorm=true", "distill=teacher")
    with pytest.raises(UserError, match="a batch is one image, on which its teacher cannot train"):
        prepare_run(config("model=mlp", *teacher, "batch_size=1"))
    assert list(prepare_run(config("model=mlp", *teacher, "batch_size=2")).teachers) == ["teacher"]
