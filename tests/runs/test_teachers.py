"""Teachers and weights that were trained on other images, or whose classes have another order: right, or refused."""

from dataclasses import replace

import pytest
import torch

from effdl.config.compose import composed, settings
from effdl.data.build import load
from effdl.data.inputs import Inputs
from effdl.data.loader import normalize
from effdl.models import storage
from effdl.models.build import trained_on
from effdl.models.resnet import resnet
from effdl.runs.prepare import prepare_run
from effdl.utils.errors import UserError

DIGITS = Inputs(tuple("0123456789"), 1, 8, (1.0,), (1.0,))  # without the normalization of the data set
SWAPPED = tuple("1032547698")
RESNET = {"option": "resnet", "depth": 8}


@pytest.fixture
def run(tmp_path, digits_config):
    """Prepare a run with a teacher, or with weights to begin with, that are stored with these inputs."""
    data = load(digits_config())
    torch.manual_seed(1)
    network = resnet(1, 8, 10, depth=8).eval()

    def prepared(key: str, inputs: Inputs | None, *more: str, network=network):
        description = {"stage": "dense", "config": RESNET, "structure": []}
        images = inputs or DIGITS
        description |= {"channels": images.channels, "image_size": images.image_size, "classes": len(images.classes)}
        if inputs:
            description["inputs"] = inputs.described()
        storage.write(tmp_path / "model.safetensors", network.state_dict(), description)
        source = tmp_path / "model.safetensors" if "FILE" in key else tmp_path
        typed = key.replace("FILE", str(source)).replace("RUN", str(source)).split()
        return prepare_run(settings(composed(["model=mlp", "dataset.val=0.2", *typed, *more], None)))

    prepared.data, prepared.network = data, network
    return prepared


DISTILL = "distill=RUN"
TEACHER = "distill=teacher +model@teacher=resnet teacher.depth=8 teacher.weights=RUN"


@pytest.mark.parametrize("key", [DISTILL, DISTILL.replace("RUN", "FILE"), TEACHER, TEACHER.replace("RUN", "FILE")])
@pytest.mark.parametrize(
    "changed",
    [
        {"classes": SWAPPED},
        {"classes": tuple("9876543210")},
        {"mean": (0.0,), "std": (255.0,)},
        {"mean": (127.5,), "std": (127.5,)},
        {"classes": SWAPPED, "mean": (20.0,), "std": (33.0,)},
    ],
    ids=["swapped", "reversed", "0 to 1", "-1 to 1", "both"],
)
def test_a_teacher_answers_as_it_was_trained(run, key, changed):
    """Its logit of a class for an image is the one that it gives in its own order, for its own normalization."""
    own = replace(DIGITS, mean=run.data.mean, std=run.data.std)
    theirs = replace(own, **changed)
    prepared = run(key, theirs)
    (teacher,) = prepared.teachers.values()
    pixels = run.data.test.images[:50]
    with torch.no_grad():
        logits = teacher.eval()(normalize(pixels, run.data.mean, run.data.std))
        alone = run.network(normalize(pixels, theirs.mean, theirs.std))
    expected = torch.stack([alone[:, theirs.classes.index(name)] for name in run.data.classes], dim=1)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    (note,) = prepared.notes
    assert ("order" in note, "normalized" in note) == ("classes" in changed, "mean" in changed)


def test_a_teacher_of_the_same_data_is_left_as_it_is(run):
    prepared = run(DISTILL, run.data.inputs)
    (teacher,) = prepared.teachers.values()
    assert prepared.notes == []
    assert not teacher._forward_hooks
    assert not teacher._forward_pre_hooks


def test_a_teacher_of_larger_images_gets_them(run):
    prepared = run(DISTILL, replace(run.data.inputs, image_size=16), network=resnet(1, 16, 10, depth=8))
    (teacher,) = prepared.teachers.values()
    seen = []
    teacher[0].register_forward_pre_hook(lambda module, args: seen.append(args[0].shape))
    teacher(torch.zeros(2, 1, 8, 8))
    assert seen == [(2, 1, 16, 16)]
    assert "images resized from 8 to 16 pixels" in prepared.notes[0]


@pytest.mark.parametrize(
    ("key", "changed", "message"),
    [
        (DISTILL, {"classes": (*"012345678", "ten")}, "the teacher is for other classes: ten there, 9 here"),
        (TEACHER, {"classes": (*"012345678", "ten")}, "the teacher is for other classes: ten there, 9 here"),
        (DISTILL, {"classes": tuple("012")}, "the teacher is for 3 classes, here are 10"),
        (TEACHER, {"classes": tuple("012")}, "the teacher is for 3 classes, here are 10"),
        (DISTILL, {"channels": 3, "mean": (1.0,) * 3, "std": (1.0,) * 3}, "the teacher is for 3 channels, here are 1"),
    ],
)
def test_a_teacher_of_other_classes_or_channels_is_refused(run, key, changed, message):
    inputs = replace(DIGITS, **changed)
    network = resnet(inputs.channels, 8, len(inputs.classes), depth=8)
    with pytest.raises(UserError) as caught:
        run(key, inputs, network=network)
    assert message in str(caught.value)


def test_a_teacher_that_does_not_say_is_taken_as_it_is_and_this_is_said(run):
    (note,) = run(DISTILL, None).notes
    assert note.endswith("it does not say its classes and normalization: those of the data set are used")


START = "model=resnet model.depth=8 model.weights=RUN"


def test_weights_keep_their_normalization_and_their_order_of_classes(run):
    theirs = replace(run.data.inputs, classes=SWAPPED, mean=(20.0,), std=(33.0,))
    prepared = run(START, theirs)
    assert prepared.data.inputs == theirs
    for before, now in ((run.data.train, prepared.data.train), (run.data.test, prepared.data.test)):
        assert [SWAPPED[label] for label in now.labels] == [run.data.classes[label] for label in before.labels]
    assert prepared.data.fingerprint == run.data.fingerprint
    assert [note.rpartition(": ")[2] for note in prepared.notes] == [
        "44 of 44 tensors loaded, none initialised anew",
        "images normalized by their mean and deviation",
        "classes in their order",
    ]
    assert prepared.model_description("dense", prepared.model)["inputs"] == theirs.described()


def test_weights_of_other_classes_lose_their_last_layer_only(run):
    theirs = replace(run.data.inputs, classes=(*"012345678", "ten"))
    prepared = run(START, theirs)
    assert prepared.data.classes == run.data.classes
    assert prepared.notes[0].endswith(": 42 of 44 tensors loaded")
    assert prepared.notes[1].endswith(": initialised anew: 9.weight, 9.bias")
    state, source = prepared.model.state_dict(), run.network.state_dict()
    assert [name for name in state if not torch.equal(state[name], source[name])] == ["9.weight", "9.bias"]


IMAGENET = {
    "mean": tuple(255 * value for value in (0.485, 0.456, 0.406)),
    "std": (0.229 * 255, 0.224 * 255, 0.225 * 255),
}


@pytest.fixture
def no_download(monkeypatch):
    """torchvision's ResNet-18, random, as if its weights had been fetched."""
    models = pytest.importorskip("torchvision").models
    state = models.resnet18().state_dict()
    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", lambda *_, **__: state)


@pytest.mark.usefixtures("no_download")
def test_pretrained_weights_keep_their_normalization():
    config = settings(composed(["model=torchvision", "model.name=resnet18", "model.weights=pretrained"], None))
    prepared = prepare_run(config)
    assert prepared.data.mean == pytest.approx((sum(IMAGENET["mean"]) / 3,))  # grey
    assert prepared.data.std == pytest.approx((sum(IMAGENET["std"]) / 3,))
    assert prepared.notes == [
        "model.weights=pretrained: 120 of 122 tensors loaded",
        "model.weights=pretrained: initialised anew: fc.weight, fc.bias",
        "model.weights=pretrained: images normalized by their mean and deviation",
    ]


@pytest.mark.usefixtures("no_download")
def test_a_pretrained_teacher_whose_last_layer_is_new_is_refused():
    """It would teach what chance has put there."""
    typed = ["model=mlp", "distill=teacher", "+model@teacher=torchvision", "teacher.name=resnet18"]
    with pytest.raises(UserError, match=r"the teacher is for other classes: fc\.weight, fc\.bias would be untrained"):
        prepare_run(settings(composed([*typed, "teacher.weights=pretrained"], None)))


def test_what_pretrained_weights_were_trained_on():
    pytest.importorskip("timm")
    for option, name, classes in (
        ("torchvision", "resnet18", 1000),
        ("timm", "resnet18", 1000),
        ("timm", "vit_tiny_patch16_224.augreg_in21k", 21843),
    ):
        mean, std, count = trained_on({"option": option, "name": name})
        assert count == classes
        expected = IMAGENET if count == 1000 else {"mean": (127.5,) * 3, "std": (127.5,) * 3}
        assert (tuple(mean), tuple(std)) == (pytest.approx(expected["mean"]), pytest.approx(expected["std"]))
