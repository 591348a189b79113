"""Versions, revision and hardware."""

import os
import platform
import subprocess

import pytest
import torch

import effdl
from effdl.runs import provenance as module
from effdl.runs.provenance import cpu_model, git_revision, memory_bytes, provenance, version


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    return git


def test_a_revision_and_whether_it_was_changed(repository, tmp_path):
    assert git_revision(tmp_path) is None
    repository("init", "-q")
    assert git_revision(tmp_path) is None  # no commit yet
    (tmp_path / "a").write_text("1")
    repository("add", "a")
    repository("commit", "-q", "-m", "first")
    clean = {"commit": repository("rev-parse", "HEAD"), "modified": False}
    assert len(clean["commit"]) == 40
    assert git_revision(tmp_path) == clean
    (tmp_path / "untracked").write_text("")
    (tmp_path / "folder").mkdir()
    assert git_revision(tmp_path / "folder") == clean
    (tmp_path / "a").write_text("2")
    assert git_revision(tmp_path) == {**clean, "modified": True}


def test_no_git_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_revision(tmp_path) is None


def test_versions():
    assert version("no-such-package") is None
    assert torch.__version__.startswith(version("torch"))
    versions = provenance(torch.device("cpu"))["versions"]
    assert versions["python"] == platform.python_version()
    assert set(versions) == {"python", *module.PACKAGES}
    assert versions["effdl"] in (effdl.__version__, None)


def test_hardware():
    found = provenance(torch.device("cpu"))
    assert found["threads"] == torch.get_num_threads()
    hardware = found["hardware"]
    assert hardware["device"] == "cpu"
    assert hardware["gpu"] is None
    assert hardware["cpu_count"] == os.cpu_count()
    assert hardware["cpu"] == cpu_model()
    assert cpu_model()
    assert 2**28 < memory_bytes() < 2**50


def test_a_processor_without_a_model_name(monkeypatch):
    monkeypatch.setattr(module.Path, "read_text", lambda self: "processor : 0\nBogoMIPS : 50.00\n")
    assert cpu_model() == (platform.processor() or platform.machine())
