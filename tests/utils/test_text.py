"""Texts of other people on one's own terminal."""

import pytest

from effdl.utils.text import abridged, one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ± 1 µ 你好 🙂", "plain ± 1 µ 你好 🙂"),
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("\r\x08\x7f\x9b2J", r"\r\x08\x7f\x9b2J"),
        ("a\u202eb\u2066c", r"a\u202eb\u2066c"),
        ("bytes \udcff", r"bytes \udcff"),
        ("a\tb\nc", "a\tb\nc"),
    ],
)
def test_control_characters_are_shown(text, shown):
    assert visible(text) == shown
    assert visible(shown) == shown


def test_one_line():
    assert one_line(" a\n\n  b\x1b[0m\tc ") == r"a b\x1b[0m c"


def test_a_long_text_keeps_its_ends():
    assert abridged("a\nb", longest=4) == "a b"
    assert abridged("1234\x1b6789", longest=4) == "12 ... 89"
    assert len(abridged("x" * 10_000_000)) == 205
