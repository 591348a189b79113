"""GPUs shared out among jobs. The GPUs are stand-ins; the locks are real, held by other processes."""

import subprocess
import sys

import pytest
import torch

from effdl.sweep.gpu_lock import first_free, own_gpu

HOLD = (
    "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
)


@pytest.fixture
def gpus(monkeypatch):
    """Three GPUs; gives the list of those that were made the current one."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


def holder(file):
    """Another process that holds the lock on a file."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_each_job_takes_a_gpu_that_no_other_has(gpus, tmp_path):
    with own_gpu("auto", tmp_path), own_gpu("cuda", tmp_path):
        assert gpus == [0, 1]
    assert gpus == [0, 1, 0, 0]  # each puts back what was current before it


def test_a_gpu_that_another_process_holds_is_passed_over_until_it_dies(gpus, tmp_path):
    process = holder(tmp_path / ".gpu-0")
    with own_gpu("auto", tmp_path):
        assert gpus == [1]
    process.kill()
    process.wait()
    with own_gpu("auto", tmp_path):
        assert gpus[2:] == [0]


def test_with_one_gpu_or_none_nothing_is_done(gpus, monkeypatch, tmp_path):
    with own_gpu("cpu", tmp_path):
        pass
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with own_gpu("auto", tmp_path):
        pass
    assert gpus == []
    assert not list(tmp_path.iterdir())


def test_nothing_is_free_when_all_are_held(tmp_path):
    with first_free([tmp_path / "a"]) as first, first_free([tmp_path / "a"]) as second:
        assert (first, second) == (0, None)
