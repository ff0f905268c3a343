"""The comparison with other connectors: what is computed of samples and turns."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from bench.peers.process_tree import Sample, TreeWatch, cpu_between
from bench.peers.run import Load, ratios
from bench.report import Figure

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
    assert watch.peak_bytes > 5_000_000
    assert watch.samples[-1].progress_bytes == 7


def test_ratios_are_this_sources_over_each_other_ones():
    figures = [
        Figure("1 KB, this source, native decoder: query", 6.0, "s"),
        Figure("1 KB, Other (Spark 3.5): query", 3.0, "s"),
        Figure("100 B, Other (Spark 3.5): query", 3.0, "s"),
    ]
    (found,) = ratios(figures)
    assert (found.measure, found.value) == ("1 KB, query: this source / Other (Spark 3.5)", 2.0)


def test_a_load_is_of_all_shards():
    load = Load("1 KB", 1_000, 75_000)
    assert (load.rows, load.megabytes) == (2_400_000, 2_400.0)
