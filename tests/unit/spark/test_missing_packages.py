"""A package that the source needs is missing in some Python of Spark's: who says so, and how."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kinesis_source.errors import find_code

NEEDED = ["botocore", "msgspec", "pyarrow", "pybase64"]
HIDE = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *given: None if name == {name!r} else found(name, *given)
sys.modules.pop({name!r}, None)
"""
LOAD = """
from kinesis_source.datasource import KinesisDataSource
KinesisDataSource({"streamName": "events", "region": "us-east-1"})
"""
UNPICKLE = """
import pickle
pickle.loads(bytes.fromhex(sys.stdin.read()))
"""
PICKLE = """
import pickle
from kinesis_source.datasource import KinesisDataSource
source = KinesisDataSource({"streamName": "events", "region": "us-east-1"})
print(pickle.dumps(source.streamReader(source.schema())).hex())
"""


def run(program: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}"],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("name", NEEDED)
def test_load_says_what_the_drivers_python_lacks(name):
    done = run(HIDE.format(name=name) + LOAD)
    assert find_code(done.stderr) == "OPTION_PACKAGE"
    assert f"cannot import {name!r}" in done.stderr
    assert "PYSPARK_PYTHON" in done.stderr


@pytest.mark.parametrize("name", NEEDED)
def test_a_task_says_what_its_python_lacks(name):
    pickled = run(PICKLE).stdout
    done = run(HIDE.format(name=name) + UNPICKLE, pickled)
    assert find_code(done.stderr) == "OPTION_PACKAGE"
    assert f"cannot import {name!r}" in done.stderr
