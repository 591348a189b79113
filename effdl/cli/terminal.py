"""The terminal as commands see it: what they print comes from files and people, and is shown, not obeyed."""

import os
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from effdl.utils.text import visible

UNLIMITED = 10_000  # the width of what is no terminal


class Terminal(Console):
    """A console without markup that shows the control characters of texts; those of rich's own (colours) stay."""

    def __init__(self, **options: Any):
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """A string; made visible here already, so that it is measured as it is shown."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Whatever is printed, in its parts."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def terminal(*, stderr: bool = False, quiet: bool = False) -> Terminal:
    """Where commands print: as wide as COLUMNS says, else as the terminal; in files and pipes nothing is cut."""
    known = "COLUMNS" in os.environ or (sys.stderr if stderr else sys.stdout).isatty()
    return Terminal(width=None if known else UNLIMITED, stderr=stderr, quiet=quiet)
