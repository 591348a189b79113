"""Files and values of a shape, and what is wrong with others."""

from typing import Literal

import pytest
from pydantic import Field, FiniteFloat

from effdl.utils.errors import UserError
from effdl.utils.shapes import Shape, read_shaped, read_shaped_rows, shaped


class Row(Shape):
    """A shape."""

    kind: Literal["a", "b"]
    level: FiniteFloat
    more: list[int] = Field(default_factory=list)


def test_a_value_of_the_shape_is_taken():
    found = shaped({"kind": "a", "level": 1}, Row, "file")
    assert (found.kind, found.level, found.more) == ("a", 1.0, [])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "file=3: must be a valid dictionary"),
        ({}, "file.kind: Field required"),
        ({"kind": "c", "level": 1}, "file.kind='c': must be 'a' or 'b'"),
        ({"kind": "a", "level": "1"}, "file.level='1': must be a valid number"),
        ({"kind": "a", "level": float("nan")}, "file.level=nan: must be a finite number"),
        ({"kind": "a", "level": 1, "more": [1, 2.5]}, "file.more[1]=2.5: must be a valid integer"),
        ({"kind": "a", "level": 1, "mor": []}, "file: mor is not a key; did you mean 'more'? (allowed: kind, level,"),
        ({"kind": "x" * 100, "level": 1}, f"file.kind='{'x' * 59}...: must be"),
    ],
)
def test_another_is_named_by_its_key_and_value(value, message):
    with pytest.raises(UserError) as caught:
        shaped(value, Row, "file")
    assert str(caught.value).startswith(message)


def test_rows_without_one_that_a_kill_cut_short(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert read_shaped_rows(path, Row) == []
    path.write_text('{"kind": "a", "level": 1}\n{"kind": "b", "lev')
    assert [row.kind for row in read_shaped_rows(path, Row)] == ["a"]
    path.write_text('{"kind": "a", "level": 1}\n{"kind": "b"}\n')
    with pytest.raises(UserError, match=rf"^{path} is damaged: line 2: level: Field required \(delete it\)$"):
        read_shaped_rows(path, Row)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe{\x00}\x00", b"[" * 100_000, b"[1e999]"])
def test_a_file_that_is_no_json_of_the_shape(tmp_path, data):
    path = tmp_path / "file.json"
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"^{path} is damaged: "):
        read_shaped(path, list[FiniteFloat])
