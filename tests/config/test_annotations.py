"""Annotations as checks and as words."""

import inspect
from typing import Annotated, Any, Literal

import pytest
import torch
from pydantic import Field

from effdl.config.annotations import conforms, describe, show
from effdl.config.types import Count, Fraction, Natural, NonNegative, Positive, UnitInterval

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Count, "a whole number >= 1 and <= 2147483647"),
        (Natural, "a whole number >= 0 and <= 2147483647"),
        (Positive, "a number > 0"),
        (NonNegative, "a number >= 0"),
        (Fraction, "a number >= 0 and < 1"),
        (UnitInterval, "a number >= 0 and <= 1"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "a text"),
        (bool, "true or false"),
        (Count | None, "a whole number >= 1 and <= 2147483647, or null"),
        (bool | str, "true or false, or a text"),
        (Literal["cpu", "cuda"] | None, "one of cpu, cuda, or null"),
        (Literal[8, 20, None, True], "one of 8, 20, null, true"),
        (list[Count], "a list [...] of which each is a whole number >= 1 and <= 2147483647"),
        (list[Fraction] | None, "a list [...] of which each is a number >= 0 and < 1, or null"),
        (Annotated[int, Field(ge=0, le=30)], "a whole number >= 0 and <= 30"),
        (Annotated[list[str], Field(max_length=9)], "a list [...] of which each is a text with a length <= 9"),
    ],
)
def test_describe(annotation, words):
    assert describe(annotation) == words


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (Count, [1, 10**9], [0, -1, 1.0, True, "1", None, NAN, [1]]),
        (Natural, [0, 1], [-1, 0.0, False, "0", None]),
        (Positive, [1e-9, 1, 3.5], [0, 0.0, -1, True, "1", NAN, INF, None]),
        (NonNegative, [0, 0.0, 2], [-1e-9, False, NAN, INF, "0"]),
        (Fraction, [0, 0.0, 0.999], [1, 1.0, -0.1, NAN, "0.5", True, False]),
        (UnitInterval, [0, 1, 0.5], [1.0001, -0.1, NAN, INF, True]),
        (bool, [True, False], [0, 1, "true", None]),
        (str, ["", "x"], [1, None, True, ["x"]]),
        (Count | None, [None, 3], [0, "null", False]),
        (bool | str, [True, False, "folder"], [1, None, 0.5]),
        (Literal[8, 20], [8, 20], [8.0, "8", 21, None]),
        (Literal[1, 3], [1, 3], [True, 1.0]),
        (Literal[1, 3] | None, [1, None], [True, 1.0, False]),
        (Literal["cpu"], ["cpu"], ["CPU", "", None]),
        (list[Count], [[], [1], [1, 5]], [[0], [1.0], ["1"], 1, "1", {"1": 1}, None]),
        (tuple[float, float], [[0.9, 0.99]], [[0.9], [0.9, "x"], 0.9]),
        (Any, [1, None, "x", [1]], []),
        (inspect.Parameter.empty, [1, None, "x", [1], NAN], []),
    ],
)
def test_conforms(annotation, good, bad):
    assert [value for value in good if not conforms(value, annotation)] == []
    assert [value for value in bad if conforms(value, annotation)] == []


def test_the_types_of_another_library_are_left_to_it():
    assert conforms(0.1, float | torch.Tensor)
    assert conforms("anything", torch.Tensor)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (0.1, "0.1"),
        (1e-5, "1e-05"),
        ("a b", "a b"),
        ([1, 5], "[1, 5]"),
    ],
)
def test_show(value, text):
    assert show(value) == text
