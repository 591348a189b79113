"""What a model says of its images and classes."""

import json
from dataclasses import replace

import pytest
import torch

from effdl.data.inputs import Inputs, inputs_of
from effdl.data.loader import normalize, normalize_again
from effdl.utils.errors import UserError

INPUTS = Inputs(("ant", "bee", "cat"), 2, 8, (10.0, 0.1 + 0.2), (3.0, 1 / 3), 224 / 256)


def description(**changed) -> dict:
    found = {"channels": 2, "image_size": 8, "classes": 3, "inputs": INPUTS.described() | changed}
    return json.loads(json.dumps(found))


def test_they_come_back_to_the_last_digit():
    assert inputs_of(description()) == INPUTS


def test_what_an_earlier_file_lacks_is_not_known():
    assert inputs_of({"channels": 2, "image_size": 8, "classes": 3}) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"classes": ["ant", "bee"]},
        {"classes": ["ant", "bee", 3]},
        {"mean": [1.0]},
        {"mean": [1.0, float("nan")]},
        {"std": [1.0, 0.0]},
        {"std": None},
        {"units": "0..1"},
        {"resize": "nearest"},
        {"centre": 0.0},
        {"centre": 1.5},
    ],
)
def test_what_cannot_be_is_refused(changed):
    with pytest.raises(ValueError, match=f"inputs.{next(iter(changed))}"):
        inputs_of(description(**changed))


def test_other_classes_are_named():
    INPUTS.require_classes(("cat", "ant", "bee"), "it")
    with pytest.raises(UserError, match=r"^it is for 3 classes, here are 2$"):
        INPUTS.require_classes(("cat", "ant"), "it")
    with pytest.raises(UserError, match=r"^it is for other classes: bee, cat there, cow, dog here$"):
        INPUTS.require_classes(("ant", "cow", "dog"), "it")


def test_equal_names_are_refused_only_where_they_would_have_to_be_told_apart():
    cranes = replace(INPUTS, classes=("crane", "ant", "crane"))
    cranes.require_classes(("crane", "ant", "crane"), "it")
    with pytest.raises(UserError, match="it has its classes in another order, and two of them have one name"):
        cranes.require_classes(("ant", "crane", "crane"), "it")


def test_the_order_leads_from_another_to_the_own():
    logits = torch.tensor([1.0, 2.0, 3.0])  # ant, bee, cat
    assert logits[INPUTS.order_of(("cat", "ant", "bee"))].tolist() == [3.0, 1.0, 2.0]


def test_images_normalized_for_one_model_become_those_of_another():
    pixels = torch.randint(256, (4, 2, 8, 8), generator=torch.Generator().manual_seed(0)).float()
    other = replace(INPUTS, mean=(120.5, 99.0), std=(55.0, 60.25))
    there = normalize(pixels, INPUTS.mean, INPUTS.std)
    expected = (pixels.double() - torch.tensor(other.mean).view(1, 2, 1, 1)) / torch.tensor(other.std).view(1, 2, 1, 1)
    torch.testing.assert_close(normalize_again(there, INPUTS, other).double(), expected, rtol=1e-5, atol=1e-5)
