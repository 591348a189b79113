"""What is typed about compression turns something on, or is refused by what it needs."""

from pathlib import Path

import pytest

from effdl.config.compose import composed, plain_values
from effdl.config.effects import check_effects, check_read
from effdl.config.options import config_folder, option_files
from effdl.config.overrides import parse, values_of
from effdl.config.validation import active
from effdl.utils.errors import UserError


def check(*overrides: str, jobs: tuple[tuple[str, ...], ...] = ()) -> None:
    check_effects([*overrides], [plain_values(composed([*job], None)) for job in jobs or [overrides]])


@pytest.mark.parametrize("name", option_files("compression", config_folder()))
def test_every_method_needs_its_knob(name):
    with pytest.raises(
        UserError, match=rf"^compression=\[{name}\]: {name} does nothing without (prune|quantize|.*)=\.\.\. "
    ):
        check(f"compression=[{name}]")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("compression.magnitude.schedule=gradual", "magnitude does nothing without prune=..."),
        (
            "compression=[lowrank,magnitude] prune=0.5",
            "compression=[lowrank,magnitude]: lowrank does nothing without factorize",
        ),
        ("compression.lsq.first_last=null prune=0.5", "lsq does nothing without quantize=..."),
        (
            "prune=2:4 compression.magnitude.rounds=3",
            "compression.magnitude.rounds=3 has no effect: magnitude does not take prune=2:4",
        ),
        ("quantize=int8 compression.lsq.per_channel=true", "lsq does not take quantize=int8"),
        ("+model@teacher=resnet18", "+model@teacher=resnet18: nothing learns from the teacher without distill=teacher"),
        ("+model@teacher=resnet18 distill=self", "nothing learns from the teacher"),
        (
            "+compression@compression.again=magnitude prune=2:4 compression.again.rounds=2",
            "again does not take prune=2:4",
        ),
    ],
)
def test_what_has_no_effect_is_named(overrides, said):
    with pytest.raises(UserError) as error:
        check(*overrides.split())
    assert said in str(error.value)


@pytest.mark.parametrize(
    "overrides",
    [
        "model=mlp",
        "compression=[magnitude] prune=0.5",
        "compression=[magnitude] prune=null",
        "compression=[magnitude,nm] prune=2:4",
        "compression.magnitude.schedule=gradual prune=0",
        "compression.magnitude.schedule=gradual compression.magnitude.level=0.3",
        "+compression@compression.again=magnitude compression.again.level=0.8",
        "+model@teacher=resnet18 distill=teacher teacher.width=0.5",
        "+model@teacher=resnet18 distill=null",
        "experiment=deep_compression_lenet5 compression.magnitude.rounds=3",
    ],
)
def test_what_has_an_effect_or_is_switched_off_passes(overrides):
    check(*overrides.split())


def read(*overrides: str, jobs: tuple[tuple[str, ...], ...] = ()) -> None:
    check_read([*overrides], [active(plain_values(composed([*job], None))) for job in jobs or [overrides]])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            "compression.magnitude.rounds=5 prune=0.5",
            "with compression.magnitude.schedule=one_shot (it is read with schedule=iterative or gradual)",
        ),
        ("compression.magnitude.rounds=5 prune=0.5 compression.magnitude.schedule=soft", "schedule=soft"),
        ("compression.magnitude.rewind_epoch=2 prune=0.5", "retrain=finetune (it is read with retrain=rewind_lr or "),
        ("compression.nm.lr_scale=0.1 prune=2:4 compression.nm.retrain=rewind_lr", "it is read with retrain=finetune"),
        ("compression.magnitude.scope=layer prune=0.5 compression.magnitude.amounts=x.json", "read with amounts=null)"),
        (
            "compression.filters.images=9 prune=0.5 compression=[filters]",
            "criterion=l2 (it is read with criterion=taylor",
        ),
        (
            "compression.filters.target=params prune=2 compression=[filters]",
            "level=2 (it is read with level=a number >=",
        ),
        ("compression.slimming.target=params prune=2 compression=[slimming]", "compression.slimming.level=2"),
        ("compression.lowrank.by=params factorize=0.5 compression.lowrank.rank=4", "compression.lowrank.rank=4 (it is"),
        (
            "compression.spatial.by=ratio factorize=0.5 compression=[spatial] compression.spatial.rank=4",
            "rank=4 (it is",
        ),
        ("compression.int8.percentile=99 quantize=int8", "calibration=mse (it is read with calibration=percentile)"),
        ("dataset.fold=2", "dataset.folds=null (it is read with folds=a whole number)"),
        ("dataset.val=0.2 dataset.folds=5", "dataset.folds=5 (it is read with folds=null)"),
        ("dataset.split_seed=1 dataset.val=0", "dataset.val=0 and dataset.folds=null and dataset.subset=null"),
    ],
)
def test_a_key_that_is_not_read_in_this_mode_is_refused(overrides, said):
    with pytest.raises(UserError) as error:
        read(*overrides.split())
    assert str(error.value).startswith(f"{overrides.split()[0]} has no effect with ")
    assert said in str(error.value)


@pytest.mark.parametrize(
    "overrides",
    [
        "model.width=0.5 optimizer.lr=0.1 epochs=1",
        "prune=0.5 compression.magnitude.rounds=5 compression.magnitude.schedule=gradual",
        "prune=0.5 compression.magnitude.lr_scale=0.1 compression.magnitude.epochs=2",
        "prune=0.5 compression.magnitude.rewind_epoch=2 compression.magnitude.retrain=rewind_weights",
        "prune=0.5 compression=[filters] compression.filters.target=params",
        "prune=0.5 compression=[taylor] compression.taylor.criterion.images=9",
        "quantize=int8 compression.int8.percentile=99 compression.int8.calibration=percentile",
        "dataset.folds=5 dataset.fold=2 dataset.split_seed=1",
        "dataset.val=0 dataset.subset=0.5 dataset.split_seed=1",
        "experiment=pruned_lenet5 compression.magnitude.rounds=3",
    ],
)
def test_a_key_that_is_read_passes(overrides):
    read(*overrides.split())


def test_it_is_enough_if_one_job_reads_it():
    typed = ("prune=0.5", "compression.magnitude.schedule=one_shot,gradual", "compression.magnitude.rounds=3")
    jobs = tuple((typed[0], value, typed[2]) for value in values_of(parse([typed[1]])[0]))
    read(*typed, jobs=jobs)
    with pytest.raises(UserError, match="has no effect"):
        read(*typed, jobs=jobs[:1])


@pytest.mark.parametrize("sweep", ["", "-m seed=0,1"])
def test_an_unread_key_is_told_before_anything_is_made(effdl, sweep):
    code, _, error = effdl("train", "model=mlp", "prune=0.5", "compression.magnitude.rounds=5", *sweep.split())
    assert code == 2
    assert "compression.magnitude.rounds=5 has no effect with compression.magnitude.schedule=one_shot" in error
    assert error.count("\n") == 1
    assert not list(Path.cwd().iterdir())


def test_it_is_enough_if_one_job_of_of_a_sweep_uses_it():
    typed = ("prune=2:4,0.5", "compression.magnitude.rounds=3")
    jobs = tuple((value, typed[1]) for value in values_of(parse(typed)[0]))
    check(*typed, jobs=jobs)
    with pytest.raises(UserError, match="has no effect"):
        check(*typed, jobs=jobs[:1])


@pytest.mark.parametrize("arguments", ["compression=[magnitude]", "-m compression=[magnitude],[filters]"])
def test_it_is_told_before_anything_is_made(effdl, arguments):
    code, _, error = effdl("train", "model=mlp", *arguments.split())
    assert code == 2
    assert "magnitude does nothing without prune=" in error
    assert error.count("\n") == 1
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            "distill=teacher teacher=resnet",
            "teacher=resnet: the model to learn from is chosen by +model@teacher=resnet",
        ),
        ("distill=teacher +teacher=resnet", "is chosen by +model@teacher=resnet"),
        ("distill=teacher model@teacher=resnet", "model@teacher=resnet: allowed is +model@teacher=resnet"),
        ("distill=teacher teacher.width=2", "teacher.width: there is no teacher (allowed: +model@teacher=NAME"),
        ("distill=teacher +teacher.width=2", "+model@teacher=NAME chooses it"),
        (
            "distill=teacher +model@teacher=resnet +teacher.width=2",
            "+teacher.width=2: it is there already, and is changed by teacher.width=2",
        ),
        ("+optimizer.lr=0.2", "+optimizer.lr=0.2: it is there already, and is changed by optimizer.lr=0.2"),
        ("+model=mlp", "+model=mlp: it is there already, and is changed by model=mlp"),
    ],
)
def test_a_sign_or_a_teacher_that_is_wrong_is_told_what_helps(effdl, overrides, said):
    code, _, error = effdl("train", *overrides.split())
    assert code == 2
    assert said in error
    assert error.count("\n") == 1
