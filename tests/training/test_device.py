"""Where a run computes."""

import os

import pytest
import torch

from effdl.config.compose import composed, settings
from effdl.training.device import DEFAULT_THREADS, select_device
from effdl.utils.errors import UserError


def config(*overrides: str) -> dict:
    return settings(composed(list(overrides), None))


def test_the_environment_says_how_many_threads():
    """MKL lets it be no more than there are cores, unless MKL_DYNAMIC is false."""
    assert 1 <= torch.get_num_threads() == DEFAULT_THREADS <= int(os.environ["OMP_NUM_THREADS"])


def test_threads_of_one_run_do_not_stay_for_the_next():
    select_device(config("device.threads=1")["device"])
    assert torch.get_num_threads() == 1
    select_device(config()["device"])
    assert torch.get_num_threads() == DEFAULT_THREADS


def test_defaults_of_the_device():
    device = select_device(config("device=cpu")["device"])
    assert (device.torch_device.type, device.precision, device.channels_last, device.compile) == (
        "cpu",
        "fp32",
        True,
        False,
    )
    assert select_device(config("device=cpu", "device.channels_last=false")["device"]).channels_last is False
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there():
    with pytest.raises(UserError, match=r"device=cuda: there is none here \(found: .*cpu\)"):
        select_device(config("device=cuda")["device"])


def test_a_run_of_a_larger_machine_is_opened_but_none_is_begun():
    """Its number of threads is kept, so that its results come again; a number that no machine has is not."""
    node = config("device=cpu")["device"]
    select_device({**node, "threads": 4 * os.cpu_count() + 1})
    assert torch.get_num_threads() == 4 * os.cpu_count() + 1
    select_device({**node, "threads": 100_000})
    assert torch.get_num_threads() == 512
    assert torch.ones(1000, 1000).mm(torch.ones(1000, 1000))[0, 0] == 1000
    for threads in (4 * os.cpu_count() + 1, 100_000, 10**20):
        with pytest.raises(UserError, match=rf"device\.threads={threads}: allowed is a whole number >= 1 and <= "):
            config(f"device.threads={threads}")
