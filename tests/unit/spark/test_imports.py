"""What each of Spark's Python processes imports: no more than it uses."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SHOW = """
import json, sys
tops = {name.partition(".")[0] for name in set(sys.modules) - before}
own = [name for name in sys.modules if name.startswith("kinesis_source.")]
print(json.dumps([sorted(tops), own]))
"""
LOOK_UP = "import pyspark_kinesis_source as found; assert found.DefaultSource.name()"
LOAD = """
from kinesis_source.datasource import KinesisDataSource
source = KinesisDataSource({"streamName": "events", "region": "us-east-1"})
source.schema()
"""
PLAN = """
from kinesis_source.datasource import KinesisDataSource
source = KinesisDataSource({"streamName": "events", "region": "us-east-1"})
source.streamReader(source.schema())._planning()
"""
READ = """
import base64, json
import kinesis_source.read.task
from kinesis_source.aws.client import stream_api
from kinesis_source.aws.decode import decode_body
from kinesis_source.native import find_decoder
from kinesis_source.records.batches import BatchBuilder
from kinesis_source.records.schema import resolve_columns, spark_schema
record = {"Data": "YQ==", "PartitionKey": "k", "SequenceNumber": "1",
          "ApproximateArrivalTimestamp": 1.7e9}
body = json.dumps({"Records": [record] * 3, "MillisBehindLatest": 0}).encode()
page = decode_body(body, b"", find_decoder("native"))
builder = BatchBuilder(resolve_columns(spark_schema()), "events", deaggregate=True)
assert sum(batch.num_rows for batch in builder.batches("shardId-000000000000", page)) == 3
"""


def imported_by(program: str) -> tuple[set[str], set[str]]:
    """Return the packages that are there afterwards beside Spark's, and our modules."""
    spark = "import sys, pyspark.sql.datasource, pyspark.sql.types; before = set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"{spark}\n{program}\n{SHOW}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    tops, own = json.loads(done.stdout)
    return set(tops), set(own)


def test_the_look_up_of_formats_imports_next_to_nothing():
    """Each session does it that uses any Python data source, also those without Kinesis."""
    tops, own = imported_by(LOOK_UP)
    assert not tops & {"botocore", "boto3", "msgspec", "pyarrow", "numpy", "pandas", "pybase64"}
    assert len(own) <= 6, own


def test_a_load_imports_no_client():
    tops, own = imported_by(LOAD)
    assert not tops & {"botocore", "boto3", "pyarrow", "pandas"}
    assert not {
        name for name in own if name.startswith(("kinesis_source.aws", "kinesis_source.pl"))
    }


def test_planning_imports_neither_arrow_nor_the_reader():
    tops, own = imported_by(PLAN)
    assert not tops & {"boto3", "pyarrow", "pandas"}
    assert not {name for name in own if name.startswith("kinesis_source.read")}


def test_a_task_imports_neither_the_planner_nor_pandas():
    pytest.importorskip("kinesis_source_native")
    tops, own = imported_by(READ)
    assert not tops & {"boto3", "pandas"}
    assert not {name for name in own if name.startswith("kinesis_source.plan")}
