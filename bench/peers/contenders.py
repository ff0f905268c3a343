"""Who takes part: this source, and what a user could pick instead, each tuned as its docs allow.

First a contender is installed, once; then it says for each replay server what makes it read that.
One that cannot be had raises NotAvailableError, and the others go on.

Tuned means: no cap below what a shard holds, no pause between calls. The protocol is each one's
default: JSON for this source, CBOR for the SDKs of AWS.

Variables of the environment name a contender that no registry has:

- ``PEER_JAR``: path of its jar, with what it needs inside.
- ``PEER_PYSPARK``: requirement for pip, for the Spark that it was built for.
- ``PEER_FORMAT``, ``PEER_OPTIONS``: its name in Spark, and options as JSON beside or instead of
  those given here; ``{endpoint}`` and ``{records}`` (of a shard) are filled in.

Flink takes no part: of its Kinesis connector, ``flink-connector-aws-kinesis-streams`` (5.0.0-1.20,
5.1.0-1.20) and ``flink-sql-connector-aws-kinesis-streams`` (5.0.0-1.20), Maven gave no jar, and a
job that could not be run once is no contender.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.measure._support import source_options
from bench.peers.installed import NotAvailableError, jars_of, python_with
from bench.replay import ReplayServer

__all__ = ["CONTENDERS", "OURS", "Contender", "Program", "Setup"]

_ROOT: Final = Path(__file__).parents[2]
OURS: Final = "this source, native decoder"
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


Setup = Callable[[ReplayServer], Program]


@dataclass(frozen=True)
class Contender:
    """One who takes part.

    Parameters
    ----------
    name : str
        As the table shows it.
    install : callable
        ``install(offline)`` gets what is missing, and returns what to run against a server; raises
        NotAvailableError where it cannot take part.
    """

    name: str
    install: Callable[[bool], Setup]


def _ours(decoder: str) -> Callable[[bool], Setup]:
    def setup(server: ReplayServer) -> Program:
        options = source_options(
            server.endpoint_url,
            shardsPerTask=str(server.settings.shards // 2),
            maxFetchRate="unlimited",
            maxBytesPerTrigger="1024g",
        )
        environment = {"PYTHONPATH": str(_ROOT), "KINESIS_SOURCE_DECODER": decoder}
        return Program(Path(sys.executable), "tecton-kinesis", options, {}, environment)

    return lambda _: setup


def _qubole(offline: bool) -> Setup:
    python = python_with(QUBOLE_PYSPARK, offline=offline)
    jars = ",".join(map(str, jars_of(QUBOLE, offline=offline)))

    def setup(server: ReplayServer) -> Program:
        options = {
            "streamName": "events",
            "endpointUrl": server.endpoint_url,
            "regionName": "us-east-1",
            "awsAccessKeyId": "test",
            "awsSecretKey": "test",
            "startingPosition": "TRIM_HORIZON",
            # Without these a batch ends after a second or 100,000 records of a shard.
            "kinesis.executor.maxFetchTimeInMs": str(_UNLIMITED_MS),
            "kinesis.executor.maxFetchRecordsPerShard": str(server.settings.records_per_shard),
            "kinesis.executor.maxRecordPerRead": "10000",
        }
        return Program(python, "kinesis", options, {"spark.jars": jars})

    return setup


def _by_path(offline: bool) -> Setup:
    """Return a jar that the user built; without more words taken for awslabs' connector."""
    jar = os.environ.get("PEER_JAR")
    if not jar:
        raise NotAvailableError("no PEER_JAR=/path/to/jar was given; awslabs publishes none")
    path = Path(jar).absolute()
    if not path.is_file():
        raise NotAvailableError(f"PEER_JAR={jar} is no file")
    name = os.environ.get("PEER_FORMAT", "aws-kinesis")
    more = os.environ.get("PEER_OPTIONS", "{}")
    python = python_with(os.environ.get("PEER_PYSPARK", PEER_PYSPARK), offline=offline)

    def setup(server: ReplayServer) -> Program:
        own = AWSLABS_OPTIONS if name == "aws-kinesis" else {}
        options = filled(
            {**own, **json.loads(more)},
            endpoint=server.endpoint_url,
            records=server.settings.records_per_shard,
        )
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        return Program(python, name, options, {"spark.jars": str(path)}, keys)

    return setup


def filled(options: Mapping[str, str], *, endpoint: str, records: int) -> dict[str, str]:
    """Return options with what only the server of a run knows."""
    return {
        name: str(value).replace("{endpoint}", endpoint).replace("{records}", str(records))
        for name, value in options.items()
    }


AWSLABS_OPTIONS: Final = {
    "kinesis.region": "us-east-1",
    "kinesis.kinesisRegion": "us-east-1",  # otherwise taken out of the host name of the endpoint
    "kinesis.endpointUrl": "{endpoint}",
    "kinesis.streamName": "events",
    "kinesis.consumerType": "GetRecords",
    "kinesis.startingPosition": "TRIM_HORIZON",
    "kinesis.awsAccessKeyId": "test",
    "kinesis.awsSecretKey": "test",
    "kinesis.maxFetchRecordsPerShard": "{records}",
    "kinesis.getRecords.numberOfRecordsPerFetch": "10000",
    "kinesis.getRecords.fetchIntervalMs": "0",
}


CONTENDERS: Final = (
    Contender(OURS, _ours("native")),
    Contender("this source, Python decoder", _ours("python")),
    Contender("Qubole 1.2.0 (Spark 3.5)", _qubole),
    Contender("PEER_JAR", _by_path),
)
