"""Texts of files and of other people, made safe to show on a terminal. Standard library only."""

import re

# Control characters (all but tab and line feed, of C0 and C1), separators of lines, characters that turn the direction
# of a text, and what stands for bytes that are no UTF-8.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""A text whose control characters are shown (``\x1b``) instead of obeyed; tabs and line feeds stay."""
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    """A visible text on one line: lines become parts of it, and blanks in a row one."""
    return visible(" ".join(text.split()))


def abridged(text: str, longest: int = 200) -> str:
    """A text on one line, and if it is longer than so many characters only its beginning and end."""
    half = longest // 2
    if len(text) > longest:
        text = f"{text[:half]} ... {text[-half:]}"
    return one_line(text)
