"""The front door."""

import subprocess
import sys

import pytest

from effdl import __version__
from effdl.cli.main import COMMANDS


def test_help_names_the_commands(effdl):
    for arguments in ([], ["--help"]):
        code, output, _ = effdl(*arguments)
        assert code == 0
        assert all(f"  {command}" in output for command in ("train", "evaluate", "list"))
        assert "effdl train model=resnet prune=0.5" in output
    assert effdl("--version")[1].strip() == f"effdl {__version__}"


ALLOWED = f"(allowed: {', '.join(COMMANDS)})"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["trian"],
            f"'trian' is not a command; did you mean 'train'? {ALLOWED}",
        ),
        (["--foo"], f"--foo: no command given {ALLOWED}"),
        (["evaluate", "/nowhere"], "/nowhere: not a run folder (there is no run.json in it)"),
    ],
)
def test_mistakes(effdl, arguments, message):
    assert effdl(*arguments) == (2, "", f"effdl: {message}\n")


def test_python_m_effdl():
    done = subprocess.run([sys.executable, "-m", "effdl", "--version"], capture_output=True, text=True)
    assert done.stdout.strip() == f"effdl {__version__}"


def test_every_command_has_a_help_with_examples(effdl):
    for command in ("evaluate", "list"):
        with pytest.raises(SystemExit) as stop:
            effdl(command, "--help")
        assert stop.value.code == 0
