"""Locks that the kernel releases."""

import errno
import logging
import os
import signal
import subprocess
import sys

import pytest

from effdl.utils import locks
from effdl.utils.locks import locked


def test_one_at_a_time(tmp_path):
    file = tmp_path / "lock"
    with locked(file) as mine:
        assert mine
        with locked(file) as other:
            assert not other
    with locked(file) as mine:
        assert mine
    assert file.exists()


def test_a_child_does_not_hold_it_on(tmp_path):
    """A worker that outlives a killed parent."""
    code = (
        "import os, sys, time; from pathlib import Path; from effdl.utils.locks import locked\n"
        "with locked(Path(sys.argv[1])):\n"
        "    if os.fork() == 0: print('child', os.getpid(), flush=True); time.sleep(60)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert parent.stdout.readline().startswith("child ")  # which has closed what it inherited
        with locked(tmp_path / "lock") as mine:
            assert not mine
        parent.kill()
        parent.wait()
        with locked(tmp_path / "lock") as mine:
            assert mine
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.stdout.close()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog, number):
    def refuse(*_):
        raise OSError(number, "no locks")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING, "effdl"), locked(tmp_path / "lock") as mine:
        assert mine
    assert "this file system has no locks" in caplog.text


def test_another_error_is_an_error(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with pytest.raises(OSError, match="broken"), locked(tmp_path / "lock"):
        pass
    with pytest.raises(OSError, match="No such file"), locked(tmp_path / "none" / "lock"):
        pass
