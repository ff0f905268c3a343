"""Spark Connect: the same source behind a client that has neither a JVM nor a SparkContext."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.spark.support import source_options

pytest.importorskip("grpc", reason="pyspark[connect] is not installed")
PROGRAM = Path(__file__).with_name("connect_program.py")
ROOT = PROGRAM.parents[2]


@pytest.fixture
def given(aws, make_stream, tmp_path) -> dict[str, object]:
    make_stream(shards=2).put(20)
    done = subprocess.run(
        [sys.executable, PROGRAM, json.dumps(source_options(aws)), tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYSPARK_PYTHON": sys.executable,
            "PYSPARK_DRIVER_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": "127.0.0.1",
        },
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("GIVEN ")]
    assert lines, (done.stdout + done.stderr)[-4000:]
    return json.loads(lines[-1].removeprefix("GIVEN "))


@pytest.mark.timeout(330)
def test_what_works_in_a_classic_session_works_through_connect(given):
    assert given == {
        "stream": 20,
        "batch": 20,
        "alias": 20,
        "foreachBatch": 20,
        "preview": [20, True, True, "seen"],
        "doctor": True,
        "unknown option": "OPTION_UNKNOWN",
        "no such stream": "STREAM_NOT_FOUND",
        "no such stream in a batch": "STREAM_NOT_FOUND",
    }


@pytest.mark.timeout(330)
@pytest.mark.parametrize("is_shipped", [True, False])
def test_an_artifact_is_enough_where_the_server_lacks_the_package(
    aws, make_stream, tmp_path, python_without_package, package_zip, is_shipped
):
    make_stream(shards=2).put(20)
    python = str(python_without_package)
    artifacts = [package_zip] if is_shipped else []
    done = subprocess.run(
        [
            sys.executable,
            PROGRAM.with_name("artifact_program.py"),
            json.dumps(source_options(aws)),
            ROOT,
            *artifacts,
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
        env={name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        | {
            "PYSPARK_PYTHON": python,
            "PYSPARK_DRIVER_PYTHON": python,
            "SPARK_LOCAL_IP": "127.0.0.1",
        },
    )
    (given,) = [line for line in done.stdout.splitlines() if line.startswith("GIVEN ")]
    if is_shipped:
        assert given == "GIVEN 20 20"
    else:
        assert "No module named 'kinesis_source'" in given
