"""Spark for measurements, what the source is compared with, and how one query is timed.

Runs in the measuring process; the two data sources run in Spark's Python workers as well, which
find this package by PYTHONPATH.

- ``bench-ceiling``: Spark's own limit for a Python source. Batches of the same columns, widths and
  rows as the source's are built once in each worker and yielded again and again.
- ``bench-boto3``: the reader that most people would write: boto3's ``get_records`` in a loop, one
  tuple for each record.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition

from bench.clients import plain_client
from bench.replay.records import KEY_BYTES, sequence_number
from kinesis_source.records.schema import arrow_schema, resolve_columns, spark_schema

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

__all__ = ["CORES", "STREAM", "Run", "run_available_now", "source_options", "spark_session"]

CORES: Final = 2
"""Of Spark, and so tasks at a time."""
STREAM: Final = "bench"
_PAGE_BYTES: Final = 10 * 1024 * 1024
_PAGE_ROWS: Final = 10_000
_QUERY_TIMEOUT_S: Final = 600
_DISTINCT_BATCHES: Final = 4
_Tuple = tuple[Any, ...]


# -- Spark --------------------------------------------------------------------------------------


@contextmanager
def spark_session(cores: int = CORES) -> Iterator[SparkSession]:
    """Run a local Spark that knows the source and those it is compared with."""
    from pyspark.sql import SparkSession

    from kinesis_source.datasource import register

    root = str(Path(__file__).parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    # The machine's own AWS settings must not reach a measurement.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    logging.getLogger("py4j").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        spark = (
            SparkSession.builder.master(f"local[{cores}]")
            .appName("bench")
            .config("spark.driver.memory", "3g")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.sql.catalogImplementation", "in-memory")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.warehouse.dir", folder)
            .config("spark.local.dir", folder)
            .getOrCreate()
        )
        try:
            spark.sparkContext.setLogLevel("ERROR")
            register(spark)
            spark.dataSource.register(CeilingDataSource)
            spark.dataSource.register(BotoDataSource)
            yield spark
        finally:
            spark.stop()


def source_options(endpoint_url: str, **options: str) -> dict[str, str]:
    """Return the source's options for a replay server: from the oldest record, no rate limit."""
    return {
        "streamName": STREAM,
        "region": "us-east-1",
        "endpointUrl": endpoint_url,
        "awsAccessKey": "test",
        "awsSecretKey": "test",
        "initialPosition": "trim_horizon",
        "maxFetchRate": "unlimited",
        **options,
    }


@dataclass(frozen=True)
class Run:
    """One query, from its start to its end.

    Parameters
    ----------
    rows : int
        As Spark counted them.
    batches : int
    add_batch_s : float
        Sum of Spark's ``addBatch``: reading and sinking, without planning and commits.
    wall_s : float
        From ``start()`` to the end of the query.
    """

    rows: int
    batches: int
    add_batch_s: float
    wall_s: float


def run_available_now(spark: SparkSession, source: str, options: dict[str, str]) -> Run:
    """Run a query into the noop sink until it has read all there is."""
    frame = spark.readStream.format(source).options(**options).load()
    with tempfile.TemporaryDirectory() as checkpoint:
        began_s = time.monotonic()
        query = (
            frame.writeStream.format("noop")
            .option("checkpointLocation", checkpoint)
            .trigger(availableNow=True)
            .start()
        )
        try:
            is_over = query.awaitTermination(_QUERY_TIMEOUT_S)
        finally:
            query.stop()
        wall_s = time.monotonic() - began_s
        assert is_over, f"{source} took over {_QUERY_TIMEOUT_S} s"
        progress = [batch for batch in query.recentProgress if batch["numInputRows"]]
    return Run(
        rows=sum(batch["numInputRows"] for batch in progress),
        batches=len(progress),
        add_batch_s=sum(batch["durationMs"]["addBatch"] for batch in progress) / 1000,
        wall_s=wall_s,
    )


# -- what the source is compared with -----------------------------------------------------------


@dataclass(frozen=True)
class _Part(InputPartition):
    """What one task reads."""

    shard_ids: tuple[str, ...]


class _OneBatchReader(DataSourceStreamReader):
    """A stream that has one micro-batch."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = options  # names without regard to case

    def initialOffset(self) -> dict[str, Any]:  # noqa: N802 - Spark's name
        return {"batch": 0}

    def latestOffset(self, start: Any = None, limit: Any = None) -> dict[str, Any]:  # noqa: N802, ARG002
        return {"batch": 1}

    def partitions(self, start: dict[str, Any], end: dict[str, Any]) -> list[InputPartition]:  # noqa: ARG002
        shard_ids = [f"shardId-{index:012d}" for index in range(int(self._options["shards"]))]
        tasks = int(self._options["tasks"])
        return [_Part(tuple(shard_ids[task::tasks])) for task in range(tasks)]


class _Source(DataSource):
    def schema(self) -> StructType:
        return spark_schema()


class CeilingDataSource(_Source):
    """Options: tasks, shards, recordBytes, rowsPerShard."""

    @classmethod
    def name(cls) -> str:
        """Return the format's name."""
        return "bench-ceiling"

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:  # noqa: N802, ARG002
        """Return the reader."""
        return _CeilingReader(self.options)


class _CeilingReader(_OneBatchReader):
    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        assert isinstance(partition, _Part)
        batches = _built_batches(int(self._options["recordBytes"]))
        left = int(self._options["rowsPerShard"]) * len(partition.shard_ids)
        turn = 0
        while left:
            batch = batches[turn % len(batches)]
            yield batch if batch.num_rows <= left else batch.slice(0, left)
            left -= min(left, batch.num_rows)
            turn += 1


@functools.cache
def _built_batches(record_bytes: int) -> list[pa.RecordBatch]:
    """Return some batches of the shape that the source makes of one page."""
    rows = min(_PAGE_ROWS, max(1, _PAGE_BYTES // (record_bytes + KEY_BYTES)))
    generator = np.random.default_rng(1)
    schema = arrow_schema(resolve_columns(spark_schema()))
    batches = []
    for _ in range(_DISTINCT_BATCHES):
        data = generator.bytes(rows * record_bytes)
        cells = [data[at : at + record_bytes] for at in range(0, len(data), record_bytes)]
        columns = [
            pa.array(cells, pa.binary()),
            pa.repeat(pa.scalar(STREAM), rows),
            pa.array([f"customer-{key:07d}" for key in generator.integers(10**7, size=rows)]),
            pa.array([str(sequence_number(row)) for row in range(rows)]),
            pa.array([1_767_225_600_000_000 + row for row in range(rows)], pa.int64()).cast(
                schema.field("approximateArrivalTimestamp").type
            ),
            pa.repeat(pa.scalar("shardId-000000000000"), rows),
            pa.nulls(rows, pa.int64()),
        ]
        batches.append(pa.RecordBatch.from_arrays(columns, schema=schema))
    return batches


class BotoDataSource(_Source):
    """Options: tasks, shards, endpointUrl, rowsPerShard."""

    @classmethod
    def name(cls) -> str:
        """Return the format's name."""
        return "bench-boto3"

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:  # noqa: N802, ARG002
        """Return the reader."""
        return _BotoReader(self.options)


class _BotoReader(_OneBatchReader):
    def read(self, partition: InputPartition) -> Iterator[_Tuple]:
        assert isinstance(partition, _Part)
        client = _boto_client(self._options["endpointUrl"])
        for shard_id in partition.shard_ids:
            left = int(self._options["rowsPerShard"])
            iterator = client.get_shard_iterator(
                StreamName=STREAM, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while left:
                reply = client.get_records(ShardIterator=iterator, Limit=min(left, _PAGE_ROWS))
                for record in reply["Records"]:
                    yield (
                        record["Data"],
                        STREAM,
                        record["PartitionKey"],
                        record["SequenceNumber"],
                        record["ApproximateArrivalTimestamp"],
                        shard_id,
                        None,
                    )
                left -= len(reply["Records"])
                iterator = reply["NextShardIterator"]


@functools.cache
def _boto_client(endpoint_url: str) -> Any:
    # One for each worker process, as the source keeps it: making one takes a third of a second.
    return plain_client(endpoint_url)
