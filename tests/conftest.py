"""What all tests share."""

import logging
import sys

import pytest


@pytest.fixture
def effdl(tmp_path, monkeypatch, capfd):
    """Run a command in this process and an empty folder; returns exit code, standard output and error."""
    from effdl.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(logging.root, "handlers", logging.root.handlers[:])  # Hydra's --info leaves one

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["effdl", *arguments])
        code = main(list(arguments))
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run
