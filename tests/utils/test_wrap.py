"""Texts in lines."""

import pytest
from rich.cells import cell_len

from effdl.utils.wrap import two_lines, wrapped


def test_lines_break_at_blanks():
    assert wrapped("model=mlp prune=0.5 seed=0", 20) == ["model=mlp prune=0.5", "seed=0"]
    assert wrapped("", 5) == [""]
    assert wrapped("abc", 3) == ["abc"]


def test_a_longer_word_breaks_behind_punctuation():
    assert wrapped("a optimizer.weight_decay=1e-05", 14) == ["a", "optimizer.", "weight_decay="[:14], "1e-05"]
    assert wrapped("/data/some/folder", 12) == ["/data/some/", "folder"]


@pytest.mark.parametrize("width", [1, 2, 3, 7, 20])
def test_no_line_is_wider_and_nothing_is_lost(width):
    text = "compression=[magnitude,filters] lr=0.00012345 x" + "y" * 50
    found = wrapped(text, width)
    assert max(map(cell_len, found)) <= width
    assert "".join(found).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "width"),
    [("model=lenet5 prune=0.5 seed=0", 16), ("a b", 1), ("abcdef", 6), ("", 0), ("aa bbbb cc", 7), ("数据 数据集", 6)],
)
def test_the_width_of_two_lines_is_the_least_one(text, width):
    assert two_lines(text) == width
    assert len(wrapped(text, max(width, 1))) <= 2
    if " " in text and width > max(map(cell_len, text.split())):
        assert len(wrapped(text, width - 1)) > 2
