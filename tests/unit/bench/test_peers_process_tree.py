"""What a process tree took, sampled from outside."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from bench.peers.process_tree import Sample, TreeWatch, cpu_between

BUSY = """
import subprocess, sys, time
child = "import time; end = time.process_time() + 0.4\\nwhile time.process_time() < end: pass"
subprocess.run([sys.executable, "-c", child], check=True)
end = time.process_time() + 0.4
while time.process_time() < end: pass
time.sleep(0.5)
"""


def sample(at_s: float, cpu_s: float, progress_bytes: int) -> Sample:
    return Sample(at_s, cpu_s, 0, progress_bytes)


def test_steady_cpu_is_that_between_two_parts_of_the_work():
    samples = [sample(n, 5.0 + n, max(0, n - 10) * 100) for n in range(31)]
    assert cpu_between(samples, 500, 1_500) == (10.0, 1_000)


def test_work_in_one_step_has_no_steady_part():
    with pytest.raises(ValueError, match="no steady part"):
        cpu_between([sample(0, 0, 0), sample(1, 9, 1_000)], 300, 800)
    with pytest.raises(ValueError, match="no steady part"):
        cpu_between([sample(0, 0, 0), sample(1, 9, 400)], 300, 800)


def test_a_process_and_its_children_are_counted_also_when_they_have_ended():
    process = subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True)
    with TreeWatch(process.pid, lambda: 7, every_s=0.02) as watch:
        assert process.wait(60) == 0
        time.sleep(0.1)
    assert 0.7 < watch.samples[-1].cpu_s < 1.5
    assert max(each.memory_bytes for each in watch.samples) > 5_000_000
    assert watch.samples[-1].progress_bytes == 7


def gone() -> int:
    raise ConnectionRefusedError("no server")


def watch_it(error: Exception | None) -> None:
    with TreeWatch(1, gone, every_s=0.01):
        time.sleep(0.05)
        if error is not None:
            raise error


def test_a_watch_that_lost_sight_is_no_measurement():
    with pytest.raises(RuntimeError, match="sampling broke off: no server"):
        watch_it(None)


def test_an_error_within_a_watch_is_the_one_that_is_raised():
    with pytest.raises(TimeoutError, match="the query"):
        watch_it(TimeoutError("the query"))
