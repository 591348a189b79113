"""The generated parts of pages: what stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``."""

from pathlib import Path

ROOT = Path(__file__).parent.parent


def replace_part(page: str, name: str, text: str) -> None:
    """Put a text in the place of a generated part.

    Args:
        page: path of a Markdown file below the repository's root.
    """
    file = ROOT / page
    before, start, rest = file.read_text().partition(f"<!-- {name} -->")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not start or not end:
        raise ValueError(f"{page} has no part {name!r}")
    file.write_text(f"{before}{start}\n{text}\n{end}{after}")


def markdown(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [columns, ["---"] * len(columns), *rows])
