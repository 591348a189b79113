"""The README's generated parts: what stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``."""

from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def replace_part(name: str, text: str) -> None:
    """Put a text in the place of a generated part."""
    before, start, rest = README.read_text().partition(f"<!-- {name} -->")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not start or not end:
        raise ValueError(f"README.md has no part {name!r}")
    README.write_text(f"{before}{start}\n{text}\n{end}{after}")


def markdown(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [columns, ["---"] * len(columns), *rows])
