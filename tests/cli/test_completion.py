"""Tab completion as bash asks for it."""

import os
import pty
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import effdl as effdl_package
from effdl.cli.main import COMMANDS

WORDS = ("int8", "fp16", "bf16", "binary", "ternary")  # of quantize


def completions(effdl, monkeypatch, line: str) -> list[str]:
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    code, output, _ = effdl("-sc", "query=bash")
    assert code == 0
    return output.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("effdl ", list(COMMANDS)),
        ("effdl tr", ["train"]),
        ("effdl train ba", ["batch_size="]),
        ("effdl train mod", ["model=", "model."]),
        ("effdl train model=res", ["model=resnet", "model=resnet18"]),
        ("effdl preview augment=cut", ["augment=cutmix", "augment=cutout"]),
        ("effdl probe model=res", ["model=resnet", "model=resnet18"]),
        ("effdl preview prune=0", ["prune=0.5", "prune=0.9"]),
        ("effdl train model=resnet optimizer=adam", ["optimizer=adam", "optimizer=adamw"]),
        ("effdl train dataset=mnist dataset.do", ["dataset.download="]),
        ("effdl -m train scheduler=c", ["scheduler=constant", "scheduler=cosine"]),
        ("effdl evaluate ", []),
        ("effdl train quantize=", [f"quantize={value}" for value in (*WORDS, "null", *range(1, 9))]),
        ("effdl train prune=0", ["prune=0.5", "prune=0.9"]),
        ("effdl train model=mlp device.precision=b", ["device.precision=bf16"]),
        ("effdl train resume=t", ["resume=true"]),
        ("effdl train distill=", [f"distill={v}" for v in ("self", "peer", "born_again", "teacher", "null")]),
        ("effdl list magn", ["magnitude"]),
        ("effdl list quan", ["quantize"]),
        ("effdl reproduce resnet", ["resnet20_bits"]),
    ],
)
def test_completions(effdl, monkeypatch, line, expected):
    found = completions(effdl, monkeypatch, line)
    assert set(expected) <= set(found)
    assert len(found) <= len(expected) + 1


def test_bash_accepts_the_script(effdl):
    script = subprocess.run(
        [Path(sys.executable).with_name("effdl"), "--shell-completion", "install=bash"], capture_output=True, text=True
    )
    assert script.returncode == 0
    check = f"{script.stdout}\ncomplete -p effdl"
    assert "hydra_bash_completion effdl" in subprocess.run(["bash", "-c", check], capture_output=True, text=True).stdout


@pytest.fixture
def runs(effdl):
    """Three folders with runs, and one without."""
    for name in ("outputs/2026-01-31/12-00-00", "outputs/sweep/mlp-seed0-01234567", "mine"):
        Path(name).mkdir(parents=True)
        Path(name, "run.json").touch()
    Path("notes").mkdir()
    return ["mine", "outputs/2026-01-31/12-00-00", "outputs/sweep/mlp-seed0-01234567"]


def test_run_folders(effdl, monkeypatch, runs, tmp_path):
    assert completions(effdl, monkeypatch, "effdl evaluate ") == runs
    assert completions(effdl, monkeypatch, "effdl report out") == runs[1:]
    assert completions(effdl, monkeypatch, "effdl clean outputs/2026-01-31/") == runs[1:2]
    assert completions(effdl, monkeypatch, "effdl train resume=m") == ["resume=mine"]
    assert completions(effdl, monkeypatch, "effdl train model=mlp distill=outputs/s") == [f"distill={runs[2]}"]
    assert completions(effdl, monkeypatch, f"effdl card {tmp_path}/mi") == [f"{tmp_path}/mine"]
    assert completions(effdl, monkeypatch, "effdl evaluate notes/") == []


def test_fish_has_a_line_for_each(effdl, monkeypatch, runs):
    monkeypatch.setenv("COMP_LINE", "effdl evaluate ")
    assert effdl("-sc", "query=fish")[1].splitlines() == runs


ZSH = """\
autoload -Uz compinit && compinit -u -D
PS1='> '
unsetopt zle_bracketed_paste prompt_cr prompt_sp
eval "$(effdl --shell-completion install=zsh)"
print ready
"""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("effdl sens", "effdl sensitivity"),
        ("effdl train quantize=te", "quantize=ternary"),
        ("effdl card mi", "card mine"),
    ],
)
def test_zsh_completes(effdl, runs, typed, completed):
    """In a zsh on a terminal of its own."""
    executable = Path("bin/effdl")
    executable.parent.mkdir()
    executable.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m effdl "$@"\n')
    executable.chmod(0o755)
    root = str(Path(effdl_package.__file__).parents[1])
    path = f"{executable.parent.absolute()}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "TERM": "dumb", "PYTHONPATH": root}
    ours, theirs = pty.openpty()
    with subprocess.Popen(["zsh", "-f", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, env=env) as shell:
        os.close(theirs)
        os.write(ours, ZSH.encode())
        shown = read_until(ours, "\nready", "")
        os.write(ours, f"{typed}\t".encode())
        shown = read_until(ours, completed, "")
        shell.kill()
    os.close(ours)
    assert completed in shown


def read_until(terminal: int, wanted: str, shown: str) -> str:
    """What a terminal shows up to a text, or until it shows nothing for a minute."""
    while wanted not in shown.replace("\r", "") and select.select([terminal], [], [], 60)[0]:
        shown += os.read(terminal, 4096).decode(errors="replace")
    return shown.replace("\r", "")
