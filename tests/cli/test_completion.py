"""Tab completion as bash asks for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from effdl.cli.main import COMMANDS


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
        ("effdl train model=resnet optimizer=adam", ["optimizer=adam", "optimizer=adamw"]),
        ("effdl train dataset=mnist dataset.do", ["dataset.download="]),
        ("effdl -m train scheduler=c", ["scheduler=constant", "scheduler=cosine"]),
        ("effdl evaluate ", []),
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
