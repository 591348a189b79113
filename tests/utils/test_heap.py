import subprocess
import sys

import pytest

from effdl.utils.heap import keep_freed_memory

# Faults on pages that a tensor of 64 MB takes anew: the median of ten, as a small block that lands behind one lets the
# heap grow once. In a process of its own, as memory may be left of others.
FAULTS = """
import resource, statistics, sys
import torch
from effdl.utils.heap import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
torch.set_num_threads(1)
x = torch.ones(16_000_000)
for _ in range(20):  # the heap grows to what it needs
    x + 1
counts = [resource.getrusage(resource.RUSAGE_SELF).ru_minflt]
for _ in range(10):
    x + 1
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(int(statistics.median(after - before for before, after in zip(counts, counts[1:]))))
"""


def faults(how):
    return int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc")
def test_pages_of_large_tensors_are_not_taken_anew():
    assert faults("kept") < 100
    assert faults("plain") > 10 * faults("kept")
