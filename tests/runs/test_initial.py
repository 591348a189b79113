"""How images are normalized for weights that do not say it, and what is said of them."""

import pytest
import torch
from torch import nn

from effdl.config.compose import composed, settings
from effdl.models.resnet import resnet
from effdl.runs.prepare import prepare_run
from effdl.utils.errors import UserError

LINES = "it does not say its classes: they are taken to be those of the data set, in their order"
UNKNOWN = "it does not say its classes and normalization: those of the data set are used"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Prepare a run that begins with a file of torch.save."""
    monkeypatch.chdir(tmp_path)

    def prepared(state, *typed: str):
        torch.save(state, "w.pth")
        return prepare_run(settings(composed(["model.weights=w.pth", *typed], None)))

    return prepared


@pytest.fixture
def small():
    return resnet(1, 8, 10, depth=8).state_dict()


def said(prepared) -> list[str]:
    return [note.partition("w.pth: ")[2] for note in prepared.notes]


OURS = ("model=resnet", "model.depth=8")


def test_weights_of_our_models_are_taken_to_be_of_the_data_set(run, small):
    prepared = run(small, *OURS)
    assert said(prepared) == ["44 of 44 tensors loaded, none initialised anew", UNKNOWN]
    assert prepared.data.mean != (127.5,)


@pytest.mark.parametrize(
    ("typed", "mean", "std"),
    [
        ("half", 127.5, 127.5),
        ("imagenet", 255 * (0.485 + 0.456 + 0.406) / 3, 255 * (0.229 + 0.224 + 0.225) / 3),
        ("[[0.25],[0.5]]", 63.75, 127.5),
    ],
)
def test_a_normalization_that_is_typed_is_that_of_the_model(run, small, typed, mean, std):
    prepared = run(small, *OURS, f"model.normalization={typed}")
    assert (prepared.data.mean, prepared.data.std) == (pytest.approx((mean,)), pytest.approx((std,)))
    assert said(prepared)[1:2] == [LINES]
    assert said(prepared)[2].startswith("normalized as model.normalization=")
    description = prepared.model_description("dense", prepared.model)
    assert description["inputs"]["mean"] == pytest.approx([mean])
    assert "normalization" not in description["config"]


def test_a_model_of_another_library_has_the_normalization_of_its_pretrained_weights(run):
    timm = pytest.importorskip("timm")
    state = timm.create_model("resnet10t", num_classes=5, in_chans=1).state_dict()
    prepared = run(state, "model=timm", "model.name=resnet10t")
    assert prepared.data.mean == pytest.approx((255 * (0.485 + 0.456 + 0.406) / 3,))
    assert said(prepared)[1:] == [
        "initialised anew: fc.weight, fc.bias",
        "it does not say its normalization: that of the pretrained timm resnet10t is assumed"
        " (0.485, 0.456, 0.406; 0.229, 0.224, 0.225); model.normalization says another one",
        "images normalized by their mean and deviation",
    ]


def test_a_last_layer_for_other_classes_begins_without_an_opinion(run):
    """timm draws that of its EfficientNets so large that a few labels never unlearn it."""
    timm = pytest.importorskip("timm")
    state = timm.create_model("tf_efficientnet_lite0", num_classes=5, in_chans=1).state_dict()
    prepared = run(state, "model=timm", "model.name=tf_efficientnet_lite0")
    assert prepared.model.classifier.weight.std() < 0.0105
    whole = run(timm.create_model("tf_efficientnet_lite0", num_classes=10, in_chans=1).state_dict(), "model=timm",
                "model.name=tf_efficientnet_lite0")  # fmt: skip
    assert whole.model.classifier.weight.std() > 0.1  # those of the file


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("[[0.5,0.5],[1]]", "2 means and 1 deviations for 1 channels"),
        ("[[0.5],[0]]", "a deviation of 0"),
    ],
)
def test_a_normalization_that_does_not_fit_is_refused(run, small, typed, message):
    with pytest.raises(UserError, match=message):
        run(small, *OURS, f"model.normalization={typed}")


def test_a_normalization_without_weights_is_refused():
    config = settings(composed(["model=mlp", "model.normalization=half"], None))
    with pytest.raises(UserError, match=r"^model\.normalization=half .* needs model\.weights"):
        prepare_run(config)


def test_weights_of_a_run_say_their_normalization(run, small, tmp_path):
    from effdl.models import storage

    inputs = run(small, *OURS).data.inputs
    about = {"config": {"option": "resnet", "depth": 8}, "channels": 1, "image_size": 8, "classes": 10}
    storage.write(tmp_path / "model.safetensors", small, {**about, "inputs": inputs.described()})
    typed = [*OURS, "model.weights=model.safetensors", "model.normalization=half"]
    with pytest.raises(UserError, match=r"model\.normalization=half: model\.weights=.* says its own, which is used"):
        prepare_run(settings(composed(typed, None)))


def test_a_teacher_takes_such_files_too_and_is_given_its_normalization(run, small):
    torch.save({"state_dict": nn.DataParallel(resnet(1, 8, 10, depth=8)).state_dict()}, "teacher.pth")
    teacher = ("distill=teacher", "+model@teacher=resnet", "teacher.depth=8", "teacher.weights=teacher.pth")
    prepared = run(small, *OURS, *teacher, "teacher.normalization=half")
    notes = [note.partition("teacher.pth: ")[2] for note in prepared.notes if "teacher.pth" in note]
    assert notes[0].startswith("44 of 44 tensors loaded (its state_dict, without the prefix module.)")
    assert notes[-1] == "images normalized by its own mean and deviation"
    with pytest.raises(UserError, match=r"has no architecture, .*distill=teacher \+model@teacher=NAME"):
        run(small, *OURS, "distill=teacher.pth")
