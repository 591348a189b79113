import mmap

import pytest
import torch

from effdl.measure import memory
from effdl.measure.memory import peak_memory

MIB = 2**20


def fill(mebibytes):
    """Use this much memory for a moment; straight from the system, as the allocator may have some left to reuse."""
    with mmap.mmap(-1, mebibytes * MIB) as block:
        for _ in range(mebibytes):
            block.write(b"x" * MIB)


def test_cpu_peak_of_the_block_only():
    if not memory.reset_high_water_mark():
        pytest.skip("this system cannot reset the peak")
    fill(400)
    with peak_memory("cpu") as idle:
        assert idle.bytes is None
    with peak_memory("cpu") as busy:
        fill(200)
    assert busy.source == "process-rss"
    assert busy.bytes - idle.bytes == pytest.approx(200 * MIB, abs=16 * MIB)


def test_what_was_there_before_and_what_is_not_counted_is_left_out(monkeypatch):
    if not memory.reset_high_water_mark():
        pytest.skip("this system cannot reset the peak")
    monkeypatch.setattr(memory, "_uncounted", [0])
    with peak_memory("cpu") as whole:
        pass
    memory.count_from_here(held=50 * MIB)
    with peak_memory("cpu") as held:
        pass
    with memory.uncounted():
        library = b"x" * (100 * MIB)
    own = b"x" * (30 * MIB)
    with peak_memory("cpu") as busy:
        fill(200)
    assert len(library) + len(own) == 130 * MIB
    assert whole.bytes > 200 * MIB  # PyTorch
    assert held.bytes == pytest.approx(50 * MIB, abs=16 * MIB)
    assert busy.bytes == pytest.approx(280 * MIB, abs=16 * MIB)


def test_filled_after_an_error():
    with pytest.raises(ValueError, match="inside"), peak_memory("cpu") as peak:
        raise ValueError("inside")
    assert (peak.bytes is None) == (peak.source == "unavailable")


def test_unavailable(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "PROCESS", tmp_path / "no-such-folder")
    with peak_memory("cpu") as peak:
        pass
    assert (peak.bytes, peak.source) == (None, "unavailable")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_peak():
    with peak_memory("cuda") as peak:
        block = torch.ones(100 * MIB, dtype=torch.uint8, device="cuda")
        del block
    assert peak.source == "cuda-allocator"
    assert peak.bytes >= 100 * MIB


@pytest.mark.cuda
def test_gpu_peak_is_that_of_its_tensors(cuda):
    held = torch.ones(16 * MIB, dtype=torch.uint8, device=cuda)
    before = torch.cuda.memory_allocated()
    with peak_memory(cuda) as peak:
        torch.ones(64 * MIB, dtype=torch.uint8, device=cuda)
    assert peak.source == "cuda-allocator"
    assert before >= held.nbytes
    assert peak.bytes - before == 64 * MIB
