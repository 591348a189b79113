from itertools import chain

import pytest
import torch
from torch import nn

from effdl.measure.latency import eager_rounds, throughput


class Clock:
    """A clock that stands still unless something takes time: what is timed is exact on a busy machine too."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("effdl.measure.latency.perf_counter", clock)
    monkeypatch.setattr("effdl.measure.timing.perf_counter", clock)
    return clock


class Sleep(nn.Module):
    def __init__(self, seconds, clock):
        super().__init__()
        self.clock = clock
        self.seconds, self.shapes, self.modes, self.threads = seconds, set(), set(), set()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        self.clock.now += self.seconds
        self.shapes.add(tuple(x.shape))
        self.modes.add((self.training, torch.is_inference_mode_enabled()))
        self.threads.add(torch.get_num_threads())
        return x


def test_models_take_turns(clock):
    models, threads = [Sleep(0.010, clock).train(), Sleep(0.002, clock)], torch.get_num_threads()
    slow, fast = eager_rounds(models, (3, 8, 8), device="cpu", batch=2, threads=threads + 1)
    assert len(slow) == len(fast) == 41
    assert slow == [pytest.approx([0.010])] * 41
    assert fast == [pytest.approx([0.002] * 3)] * 41
    for model in models:
        assert model.shapes == {(2, 3, 8, 8)}
        assert model.modes == {(False, True)}
        assert model.threads == {threads + 1}
    assert torch.get_num_threads() == threads
    assert models[0].training


def test_throughput(clock):
    model = Sleep(0.010, clock)
    result = throughput(model, (3, 8, 8), device="cpu", batch=32)
    assert list(result) == ["throughput_images_per_s", "throughput_batch"]
    assert result["throughput_images_per_s"] == pytest.approx(32 / 0.010)
    assert result["throughput_batch"] == 32
    assert model.shapes == {(32, 3, 8, 8)}


def test_threads_and_mode_are_restored_after_an_error():
    model, threads = nn.Linear(2, 2).train(), torch.get_num_threads()
    with pytest.raises(RuntimeError):
        eager_rounds([model], (3, 8, 8), device="cpu", threads=threads + 1)
    assert torch.get_num_threads() == threads
    assert model.training


def test_parametrizations_are_not_timed(clock):
    class Slow(nn.Module):
        def forward(self, weight):
            clock.now += 0.02
            return weight

    model = nn.Linear(8, 8)
    nn.utils.parametrize.register_parametrization(model, "weight", Slow(), unsafe=True)
    assert set(chain(*eager_rounds([model], (1, 1, 8), device="cpu")[0])) == {0.0}


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

    (rounds,) = eager_rounds([Products().cuda()], (1, 1, 1), device="cuda")
    # 20 x 2 x 4096^3 = 2.7e12 operations: no GPU does them in a millisecond, launching them takes less than one.
    assert min(chain(*rounds)) > 1e-3


@pytest.mark.cuda
def test_a_gpu_is_waited_for(cuda):
    """Ten products in a row take about ten times one, though their calls return at once."""

    class Products(nn.Module):
        def __init__(self, count):
            super().__init__()
            self.count, self.weight = count, nn.Parameter(torch.randn(4096, 4096))

        def forward(self, x):
            for _ in range(self.count):
                x = torch.tanh(x @ self.weight)
            return x

    models = [Products(count).to(cuda) for count in (1, 10)]
    one, ten = (sorted(chain.from_iterable(rounds)) for rounds in eager_rounds(models, (4096, 4096), device=cuda))
    assert 0 < 5 * one[len(one) // 2] < ten[len(ten) // 2]
