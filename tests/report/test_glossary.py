"""The glossary on the page about run folders."""

from pathlib import Path

import effdl
from effdl.report.glossary import glossary


def test_the_page_has_the_table_of_the_registry():
    page = (Path(effdl.__file__).parent / "runs" / "README.md").read_text()
    part = page.partition("<!-- glossary -->\n")[2].partition("\n<!-- /glossary -->")[0]
    assert part == glossary(), "run scripts/update_glossary.py"


def test_a_line_per_metric():
    lines = {line.split(" | ")[0]: line for line in glossary().splitlines()}
    assert lines["| `latency_ms`"] == (
        "| `latency_ms` | `latency` | ms | less | stage, export | "
        "median time of one image in the runtime that the model is deployed in |"
    )
    assert "| `val_...`" in lines
