"""What is done with every image file: by threads, naming those that cannot be read."""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from effdl.utils.errors import UserError

_UNREADABLE = " cannot be read as an image"
_CHUNK = 100  # files that a thread takes at a time
_Item, _Result = TypeVar("_Item"), TypeVar("_Result")


@contextmanager
def opened(path: str) -> Iterator:
    """Pillow's image of a file, of which only the header is read yet.

    Raises:
        UserError: the file cannot be read as an image, or what is done in the ``with`` block raises any other error.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            yield image
    except UnidentifiedImageError:
        raise UserError(f"{shown(path)}{_UNREADABLE}: its content is of no format that is read") from None
    except FileNotFoundError:
        raise UserError(f"{shown(path)}{_UNREADABLE}: there is no such file") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error and their own
        raise UserError(f"{shown(path)}{_UNREADABLE}: {error}") from None


def for_all(function: Callable[[_Item], _Result], items: Sequence[_Item], workers: int, title: str) -> list[_Result]:
    """The results of a function of every item, by threads; a terminal shows a progress bar.

    Pillow releases the interpreter lock where it decodes.

    Raises:
        UserError: as the function does, for the first item, and how many more there are.
    """
    from rich.console import Console
    from rich.progress import track

    def call(start: int) -> list:
        return [_result_or_error(function, item) for item in items[start : start + _CHUNK]]

    starts = range(0, len(items), _CHUNK)
    options = {"console": Console(stderr=True), "transient": True, "disable": not sys.stderr.isatty()}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        chunks = track(pool.map(call, starts), title, len(starts), **options)
        results = [result for chunk in chunks for result in chunk]
    if errors := [str(result) for result in results if isinstance(result, UserError)]:
        others = ", ".join(error.partition(_UNREADABLE)[0] for error in errors[1:4])
        more = f" ({len(errors) - 1:,} more cannot be read: {others}{', ...' * (len(errors) > 4)})"
        raise UserError(f"{errors[0]}{more if others else ''}")
    return results


def counted(paths: Sequence[str], what: str) -> str:
    """``3 images, such as a/b.png``; `what` is in the singular."""
    return f"{len(paths):,} {what}{'s' * (len(paths) != 1)}, such as {shown(paths[0])}"


def shown(path: str) -> str:
    """A path as a text that can be printed and stored, whatever its bytes are."""
    return encoded(path).decode(errors="backslashreplace")


def encoded(names: str) -> bytes:
    """Names of files as bytes; they need not be UTF-8."""
    return names.encode(errors="surrogateescape")


def _result_or_error(function: Callable[[_Item], _Result], item: _Item) -> _Result | UserError:
    try:
        return function(item)
    except UserError as error:
        return error
