"""What commands print of files that others made is shown, not obeyed."""

import csv
import io

import pytest
from rich.table import Table
from rich.text import Text

from effdl.cli.main import main
from effdl.cli.terminal import Terminal
from effdl.runs.folder import RunFolder
from effdl.runs.verify import digests

ESCAPE = "\x1b]0;gotcha\x07\x1b[31m"
SHOWN = r"\x1b]0;gotcha\x07\x1b[31m"


def printed(*what, **options) -> str:
    console = Terminal(file=io.StringIO(), width=100, **options)
    for part in what:
        console.print(part)
    return console.file.getvalue()


def test_everything_that_is_printed_is_made_visible():
    table = Table(title=ESCAPE)
    table.add_column(ESCAPE)
    table.add_row(ESCAPE)
    table.add_row(Text("\x1b[2J"))
    text = printed(ESCAPE, table)
    assert text.count(SHOWN) == 4
    assert printed(Text("\x1b[31m")) == "\\x1b[31m\n"
    assert "\x1b" not in text
    assert "\x07" not in text


def test_colours_of_our_own_stay():
    assert "\x1b[31m" in printed(Text("red", "red"), force_terminal=True, color_system="standard")


def test_neither_markup_nor_emoji_is_taken_from_texts():
    assert printed("[red]a[/red] :smile:") == "[red]a[/red] :smile:\n"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run folder whose texts would take over a terminal or a spreadsheet."""
    folder = tmp_path_factory.mktemp("hostile") / "r"
    quick = ("model=mlp", "model.hidden=[8]", "epochs=1", "dataset.subset=200", "energy.enabled=false")
    assert main(["train", *quick, f"hydra.run.dir={folder}"]) == 0
    hostile = RunFolder(folder)
    run, result = hostile.run, hostile.result
    run["config"]["model"]["option"] = f"=cmd|{ESCAPE}"
    run["config"]["optimizer"]["option"] = "@SUM(A1)"
    hostile.write_run(run)
    stages = [{**row, "stage": f"dense{ESCAPE}"} for row in result["stages"]]
    hostile.stages.write(stages)
    hostile.finish({**result, "stages": stages, "files": digests(hostile)})
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("report",),
        ("report", "--format", "csv"),
        ("report", "--format", "markdown"),
        ("report", "--format", "latex"),
        ("report", "--columns", "name,stage,model"),
    ],
)
def test_a_report_shows_what_would_be_obeyed(effdl, hostile, arguments):
    code, output, error = effdl(*arguments, str(hostile))
    assert code == 0
    assert "\x1b" not in output + error
    assert "\x07" not in output + error
    assert "x1b" in output


def test_a_spreadsheet_runs_no_cell(effdl, hostile):
    code, output, _ = effdl("report", str(hostile), "--format", "csv", "--columns", "name,model,optimizer,top1,stage")
    assert code == 0
    heading, row = csv.reader(io.StringIO(output))
    assert row[heading.index("model")].startswith("'=cmd|")
    assert row[heading.index("optimizer")] == "'@SUM(A1)"
    assert float(row[heading.index("top1")]) >= 0


def test_messages_are_visible_and_one_line(effdl):
    code, output, error = effdl("evaluate", f"a{ESCAPE}\nb")
    assert (code, output) == (2, "")
    assert error.count("\n") == 1
    assert "\x1b" not in error
    assert SHOWN in error
