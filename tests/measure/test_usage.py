import mmap
import subprocess
import sys
import time

import psutil
import pytest

from effdl.measure.usage import Interval, Usage, between, usage


def test_the_cpu_time_of_children_counts_while_they_run_and_when_they_have_ended():
    burn = "import time\nwhile time.process_time() < 0.6: pass\nprint('done', flush=True)\ninput()"
    before, others = usage(), time.process_time()
    child = subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "done\n"
    running = usage()
    child.communicate("\n")
    ended = usage()
    own = time.process_time() - others
    assert running.own_cpu_s - before.own_cpu_s == pytest.approx(0.6 + own, abs=0.25)
    assert 0 <= ended.own_cpu_s - running.own_cpu_s < 0.5  # not lost, not twice
    assert running.busy_cpu_s - before.busy_cpu_s > 0.5


def test_memory_is_that_of_the_processes_own():
    before = usage().memory_bytes
    held = mmap.mmap(-1, 64_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # malloc may take what it has
    for page in range(0, len(held), mmap.PAGESIZE):  # with no copy beside it
        held[page] = 1
    assert usage().memory_bytes - before == pytest.approx(len(held), rel=0.2)
    assert before < psutil.Process().memory_info().rss


def test_what_was_used_between_two_readings():
    interval = between(Usage(10.0, 100.0, 4), Usage(11.0, 104.0, 8), 2.0)
    assert interval == Interval(2.0, 1.0, 4.0, 6.0)
    assert (interval.cpu_share, interval.others_cpu_s) == (0.25, 3.0)


@pytest.mark.parametrize(
    ("own", "busy", "share", "others"),
    [(0.0, 0.0, 0.0, 0.0), (0.004, 0.0, 1.0, 0.0), (2.0, 1.9, 1.0, 0.0), (0.0, 1.0, 0.0, 1.0)],
)
def test_a_share_is_one_whatever_the_clocks_say(own, busy, share, others):
    """The kernel counts the machine's time in steps of 10 ms."""
    interval = Interval(1.0, own, busy, 0.0)
    assert (interval.cpu_share, interval.others_cpu_s) == (share, others)
