"""Runs queries with every kind of credential in a Spark of its own, and shows all it can of them.

A program, started by test_secrets.py: ``secrets_program.py <folder>``. Reads
``<folder>/tasks.json``, prints whatever a user might print (plans, progress, exceptions with their
causes, objects), then waits on stdin, so that the test can search everything that the running Spark
has put on disk.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from kinesis_source import KinesisConfig, StreamSource
from kinesis_source.aws.client import stream_api
from kinesis_source.datasource import KinesisDataSource


def session(folder: Path) -> SparkSession:
    events = folder / "out" / "events"
    events.mkdir(parents=True)
    settings = {
        "spark.master": "local[2]",
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(folder / "out" / "local"),
        "spark.sql.warehouse.dir": str(folder / "out" / "warehouse"),
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.dir": events.as_uri(),
        "spark.sql.streaming.stopTimeout": "30s",
        "spark.sql.maxMetadataStringLength": "10000",
    }
    builder = SparkSession.builder.appName("secrets")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("DEBUG")
    return spark


def show(title: str, value: Any) -> None:
    sys.stdout.write(f"--- {title}\n{value}\n")


def show_error(title: str, error: BaseException) -> None:
    show(f"{title}: error", "".join(traceback.format_exception(error)))
    seen: BaseException | None = error
    while seen is not None:
        show(f"{title}: {type(seen).__name__}", f"{seen} {seen!r} {vars(seen)}")
        seen = seen.__cause__ or seen.__context__


def run_query(spark: SparkSession, task: dict[str, Any], folder: Path) -> None:
    """Run a query until it has read a record or failed."""
    frame = spark.readStream.format("tecton-kinesis").options(**task["options"]).load()
    frame.explain(extended=True)
    frame.explain(mode="formatted")
    counted = 0

    def count(batch: Any, batch_id: int) -> None:
        nonlocal counted
        batch.explain(extended=True)
        counted += batch.count()

    checkpoint = folder / "out" / "checkpoints" / task["name"]
    writer = frame.writeStream.foreachBatch(count).option("checkpointLocation", str(checkpoint))
    query = writer.queryName(task["name"]).start()
    deadline = time.monotonic() + 60
    while query.isActive and not counted and time.monotonic() < deadline:
        time.sleep(0.1)
    query.explain(extended=True)
    show("progress", [progress.json for progress in query.recentProgress])
    show("status", query.status)
    failure = query.exception()
    query.stop()
    if failure is not None:
        show_error(task["name"], failure)
    outcome(task, "failed" if failure is not None else "read" if counted else "nothing")


def run_preview(spark: SparkSession, task: dict[str, Any], folder: Path) -> None:
    options = dict(task["options"])
    config = KinesisConfig(
        options.pop("streamName"), options.pop("region"), None, "t", "trim_horizon", options=options
    )
    show("config", f"{config} {config!r}")
    source = StreamSource(name="clicks", stream_config=config)
    show("source", f"{source} {source!r}")
    try:
        query = source.start_stream_preview(task["name"], checkpoint_dir=folder / "out")
        query.processAllAvailable()
        query.explain(extended=True)
        query.stop()
        outcome(task, "read" if spark.table(task["name"]).count() else "nothing")
    except Exception as error:  # noqa: BLE001 - shown
        show_error(task["name"], error)
        outcome(task, "failed")


def show_objects(spark: SparkSession, task: dict[str, Any], folder: Path) -> None:
    """Print what runs in Spark's processes, as a debugger or a log line would."""
    source = KinesisDataSource(task["options"])
    reader = source.streamReader(source.schema())
    api = stream_api(source.settings.client)
    initial = reader.initialOffset()
    parts = reader.partitions(initial, reader.latestOffset(initial))
    for thing in (source, source.settings, reader, api, api.identity, parts, initial):
        show(type(thing).__name__, f"{thing} {thing!r} {thing:}" if thing is not parts else thing)
    show("reader's state", dict(vars(reader)))
    show("source's state", source.settings)
    credentials = api.identity.session.get_credentials()
    show("credentials", f"{credentials} {credentials!r} {credentials.get_frozen_credentials()}")
    (folder / "out" / "partitions.pickle").write_bytes(pickle.dumps((parts, initial)))
    reader.stop()
    outcome(task, "read")


def run_load(spark: SparkSession, task: dict[str, Any], folder: Path) -> None:
    """Load and explain only."""
    try:
        frame = spark.readStream.format("tecton-kinesis").options(**task["options"]).load()
    except Exception as error:  # noqa: BLE001 - shown
        show_error(task["name"], error)
        outcome(task, "failed")
        return
    frame.explain(extended=True)
    show("plan", frame._jdf.queryExecution().toString())
    outcome(task, "read")


def outcome(task: dict[str, Any], what: str) -> None:
    show(f"outcome {task['name']}", what)


RUNNERS = {"query": run_query, "preview": run_preview, "objects": show_objects, "load": run_load}


def main() -> None:
    folder = Path(sys.argv[1])
    spark = session(folder)
    for task in json.loads((folder / "tasks.json").read_text()):
        show("task", task["name"])
        try:
            RUNNERS[task["run"]](spark, task, folder)
        except Exception as error:  # noqa: BLE001 - shown
            show_error(task["name"], error)
            outcome(task, "failed")
    sys.stdout.write("ALL DONE\n")
    sys.stdout.flush()
    sys.stdin.readline()
    spark.stop()


if __name__ == "__main__":
    main()
