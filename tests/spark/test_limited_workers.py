"""Spark whose Python workers are kept small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.spark.support import source_options

PROGRAM = Path(__file__).with_name("limited_program.py")
ROOT = Path(__file__).resolve().parents[2]


def test_workers_of_a_gibibyte_read_fifty_shards_in_one_task(aws, make_stream) -> None:
    """As many threads as were asked for do not fit in there."""
    make_stream(shards=50).put(1_000)
    options = source_options(aws, shardsPerTask="50")
    done = subprocess.run(
        [sys.executable, PROGRAM, json.dumps(options)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "rows: 1000\n" in done.stdout, done.stderr[-3000:]
    assert "instead of 50 (the address space is limited)" in done.stderr
