"""Where a run computes."""

import pytest
import torch

from effdl.commands.compose import composed, settings
from effdl.errors import UserError
from effdl.place import DEFAULT_THREADS, choose_place


def config(*overrides: str) -> dict:
    return settings(composed(list(overrides), None))


@pytest.fixture
def restored_threads():
    yield
    torch.set_num_threads(DEFAULT_THREADS)


def test_threads_of_one_run_do_not_stay_for_the_next(restored_threads):
    choose_place(config("device.threads=1")["device"])
    assert torch.get_num_threads() == 1
    choose_place(config()["device"])
    assert torch.get_num_threads() == DEFAULT_THREADS


def test_defaults_of_the_device():
    place = choose_place(config("device=cpu")["device"])
    assert (place.device.type, place.precision, place.channels_last, place.compile) == ("cpu", "fp32", True, False)
    assert choose_place(config("device=cpu", "device.channels_last=false")["device"]).channels_last is False
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there():
    with pytest.raises(UserError, match=r"device=cuda: there is none here \(found: .*cpu\)"):
        choose_place(config("device=cuda")["device"])
