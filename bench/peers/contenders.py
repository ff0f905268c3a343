"""Who takes part: this source, and what a user could pick instead, each tuned as its docs allow.

In: a replay server. Out: the command that makes a contender read it, with options and environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.measure._support import source_options
from bench.peers.installed import NotAvailableError, jars_of, python_with
from bench.replay import ReplayServer

__all__ = ["CONTENDERS", "Contender", "Program"]

_ROOT: Final = Path(__file__).parents[2]
QUBOLE: Final = "com.qubole.spark:spark-sql-kinesis_2.12:1.2.0_spark-3.0"
QUBOLE_PYSPARK: Final = "pyspark==3.5.7"
PEER_PYSPARK: Final = "pyspark==4.1.0"
_UNLIMITED_MS: Final = 3_600_000


@dataclass(frozen=True)
class Program:
    """What runs: the Python, and what ``spark_program`` is told beside the rows.

    Parameters
    ----------
    python : Path
    format : str
        For ``readStream.format``.
    options : mapping of str to str
    conf : mapping of str to str
        Of the Spark session.
    environment : mapping of str to str
        Variables beside this process's own.
    """

    python: Path
    format: str
    options: Mapping[str, str]
    conf: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """One who takes part.

    Parameters
    ----------
    name : str
        As the table shows it.
    prepare : callable
        Of a server; raises NotAvailableError where it cannot take part.
    """

    name: str
    prepare: Callable[[ReplayServer], Program]


def _ours(decoder: str) -> Callable[[ReplayServer], Program]:
    def prepare(server: ReplayServer) -> Program:
        options = source_options(
            server.endpoint_url,
            initialPosition="trim_horizon",
            shardsPerTask=str(server.settings.shards // 2),
            maxFetchRate="unlimited",
            maxBytesPerTrigger="1024g",
        )
        environment = {"PYTHONPATH": str(_ROOT), "KINESIS_SOURCE_DECODER": decoder}
        return Program(Path(sys.executable), "tecton-kinesis", options, {}, environment)

    return prepare


def _qubole(server: ReplayServer) -> Program:
    jars = ",".join(map(str, jars_of(QUBOLE)))
    options: dict[str, Any] = {
        "streamName": "events",
        "endpointUrl": server.endpoint_url,
        "regionName": "us-east-1",
        "awsAccessKeyId": "test",
        "awsSecretKey": "test",
        "startingposition": "TRIM_HORIZON",
        # Without these a batch ends after a second or 100,000 records of a shard.
        "kinesis.executor.maxFetchTimeInMs": str(_UNLIMITED_MS),
        "kinesis.executor.maxFetchRecordsPerShard": str(server.settings.records_per_shard),
        "kinesis.executor.maxRecordPerRead": "10000",
    }
    return Program(python_with(QUBOLE_PYSPARK), "kinesis", options, {"spark.jars": jars})


def _by_path(server: ReplayServer) -> Program:
    """Return awslabs' ``aws-kinesis`` out of a jar that the user built."""
    jar = os.environ.get("PEER_JAR")
    if not jar:
        raise NotAvailableError("no PEER_JAR=/path/to/jar was given; awslabs publishes none")
    if not Path(jar).is_file():
        raise NotAvailableError(f"PEER_JAR={jar} is no file")
    options = {
        "kinesis.region": "us-east-1",
        "kinesis.streamName": "events",
        "kinesis.consumerType": "GetRecords",
        "kinesis.endpointUrl": server.endpoint_url,
        "kinesis.startingposition": "TRIM_HORIZON",
        "kinesis.executor.maxFetchTimeInMs": str(_UNLIMITED_MS),
        "kinesis.executor.maxFetchRecordsPerShard": str(server.settings.records_per_shard),
        "kinesis.executor.maxRecordPerRead": "10000",
        "kinesis.executor.idleTimeBetweenReadsInMs": "0",
    }
    requirement = os.environ.get("PEER_PYSPARK", PEER_PYSPARK)
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    return Program(python_with(requirement), "aws-kinesis", options, {"spark.jars": jar}, keys)


CONTENDERS: Final = (
    Contender("this source, native decoder", _ours("native")),
    Contender("this source, Python decoder", _ours("python")),
    Contender("Qubole 1.2.0 (Spark 3.5)", _qubole),
    Contender("aws-kinesis (PEER_JAR)", _by_path),
)
