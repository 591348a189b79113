"""The text of distill= chooses the method."""

import pytest

from effdl.config.compose import composed, settings
from effdl.config.validation import check_targets

METHODS = "[logits,hints,attention,relational,mutual,born_again]"
TEACHER = {"logits", "hints", "attention", "relational"}


@pytest.mark.parametrize(
    ("level", "methods"),
    [
        ("peer", {"mutual"}),
        ("born_again", {"born_again"}),
        ("self", TEACHER),
        ("outputs/2026-01-31/12-00-00", TEACHER),
        ("runs/peer", TEACHER),
        ("peers", TEACHER),
        ("born_again_2", TEACHER),
    ],
)
def test_a_text_turns_on_the_methods_that_are_meant(level, methods):
    config = settings(composed([f"compression={METHODS}", f"distill={level}"], None))
    check_targets(config)
    assert set(config["compression"]) == methods
    assert {node["level"] for node in config["compression"].values()} == {level}


def test_without_a_teacher_all_are_off():
    assert settings(composed([f"compression={METHODS}"], None))["compression"] == {}
