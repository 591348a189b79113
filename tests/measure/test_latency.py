import time

import pytest
import torch
from torch import nn

from effdl.measure.latency import latency, throughput


class Sleep(nn.Module):
    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.shapes, self.modes, self.threads = seconds, set(), set(), set()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        time.sleep(self.seconds)
        self.shapes.add(tuple(x.shape))
        self.modes.add((self.training, torch.is_inference_mode_enabled()))
        self.threads.add(torch.get_num_threads())
        return x


def test_a_sleep_of_ten_milliseconds():
    model, threads = Sleep(0.010).train(), torch.get_num_threads()
    start = time.perf_counter()
    result = latency(model, (3, 8, 8), device="cpu", threads=threads + 1, warmup_s=0.05, budget_s=0.5)
    assert 0.5 < time.perf_counter() - start < 1.5
    assert 10 <= result["latency_ms"] <= 13
    assert result["latency_q1_ms"] <= result["latency_ms"] <= result["latency_q3_ms"]
    assert 20 <= result["latency_runs"] <= 50
    assert result["latency_threads"] == threads + 1
    assert (result["latency_batch"], result["latency_runtime"]) == (1, "pytorch-eager")
    assert model.shapes == {(1, 3, 8, 8)}
    assert model.modes == {(False, True)}
    assert model.threads == {threads + 1}
    assert torch.get_num_threads() == threads
    assert model.training


def test_slow_models_run_at_least_min_runs():
    result = latency(Sleep(0.05), (1, 2, 2), device="cpu", warmup_s=0, min_runs=5, budget_s=0)
    assert result["latency_runs"] == 5


def test_throughput():
    model = Sleep(0.010)
    result = throughput(model, (3, 8, 8), device="cpu", batch=32, warmup_s=0.02, budget_s=0.2)
    assert list(result) == ["throughput_images_per_s", "throughput_batch"]
    assert 32 / 0.013 <= result["throughput_images_per_s"] <= 32 / 0.010
    assert result["throughput_batch"] == 32
    assert model.shapes == {(32, 3, 8, 8)}


def test_threads_and_mode_are_restored_after_an_error():
    model, threads = nn.Linear(2, 2).train(), torch.get_num_threads()
    with pytest.raises(RuntimeError):
        latency(model, (3, 8, 8), device="cpu", threads=threads + 1)
    assert torch.get_num_threads() == threads
    assert model.training


def test_parametrizations_are_not_timed():
    class Slow(nn.Module):
        def forward(self, weight):
            time.sleep(0.02)
            return weight

    model = nn.Linear(8, 8)
    nn.utils.parametrize.register_parametrization(model, "weight", Slow(), unsafe=True)
    assert latency(model, (1, 1, 8), device="cpu", warmup_s=0, budget_s=0.05)["latency_ms"] < 5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_waits_for_the_result():
    class Products(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.eye(4096))

        def forward(self, x):
            y = self.weight
            for _ in range(20):
                y = y @ self.weight
            return y

    result = latency(Products().cuda(), (1, 1, 1), device="cuda")
    # 20 x 2 x 4096^3 = 2.7e12 operations: no GPU does them in a millisecond, launching them takes less than one.
    assert result["latency_ms"] > 1
