"""What a user does through Spark Connect, in a client that has no JVM and no SparkContext.

A program, started by test_connect.py: ``connect_program.py <options as JSON> <checkpoint folder>``.
Connect and classic Spark do not mix in one process. Starts a Connect server on a free port of
loopback. Prints one JSON object: what each step gave.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.connect.streaming.query import StreamingQuery

from kinesis_source import KinesisConfig, StreamSource, doctor, find_code, register


def step(function: Any) -> Any:
    """Return what a step gave, or the code of what it died of."""
    try:
        return function()
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return find_code(error) or f"{type(error).__name__}: {error}"[-1500:]


def main(options: dict[str, str], checkpoints: Path) -> None:
    spark = SparkSession.builder.remote("local[2]").getOrCreate()

    def read_stream(name: str, format_name: str = "tecton-kinesis", **more: str) -> int:
        frame = spark.readStream.format(format_name).options(**{**options, **more}).load()
        writer = frame.writeStream.format("memory").queryName(name)
        query = writer.trigger(availableNow=True).start()
        assert query.awaitTermination(120)
        return int(spark.table(name).count())

    def read_batch(**more: str) -> int:
        given = {name: text for name, text in options.items() if name != "initialPosition"}
        return int(spark.read.format("tecton-kinesis").options(**given, **more).load().count())

    def alias() -> int:
        register(spark, aliases=("kinesis",))
        return read_stream("by_alias", "kinesis")

    def for_each_batch() -> int:
        target = str(checkpoints / "rows")

        def write(frame: Any, _: int) -> None:
            frame.select("sequenceNumber").write.mode("append").parquet(target)

        frame = spark.readStream.format("tecton-kinesis").options(**options).load()
        writer = frame.writeStream.foreachBatch(write)
        query = (
            writer.option("checkpointLocation", str(checkpoints / "c"))
            .trigger(availableNow=True)
            .start()
        )
        assert query.awaitTermination(120)
        return int(spark.read.parquet(target).count())

    def preview() -> Any:
        given = {**options}
        source = StreamSource(
            name="clicks",
            stream_config=KinesisConfig(
                stream_name=given.pop("streamName"),
                region=given.pop("region"),
                post_processor=lambda frame: frame,
                timestamp_field="approximateArrivalTimestamp",
                initial_stream_position=given.pop("initialPosition"),
                options=given,
            ),
        )
        query = source.start_stream_preview("seen")
        until_s = time.monotonic() + 120
        while (rows := spark.table("seen").count()) < 20 and time.monotonic() < until_s:
            time.sleep(0.2)
        is_query = isinstance(query, StreamingQuery)
        waited = query.wait_for_rows(20, timeout=60)
        hint = query.schema_hint if rows == waited else None
        query.stop()
        return [rows, is_query, callable(hint), query.name]

    given = {
        "stream": step(lambda: read_stream("found")),
        "batch": step(read_batch),
        "alias": step(alias),
        "foreachBatch": step(for_each_batch),
        "preview": step(preview),
        "doctor": step(lambda: doctor(options, spark).ok),
        "unknown option": step(lambda: read_batch(steamName="x")),
        "no such stream": step(lambda: read_stream("none", streamName="nowhere")),
        "no such stream in a batch": step(lambda: read_batch_of(spark, options, "nowhere")),
    }
    sys.stdout.write("GIVEN " + json.dumps(given) + "\n")
    spark.stop()


def read_batch_of(spark: Any, options: dict[str, str], stream: str) -> int:
    given = {name: text for name, text in options.items() if name != "initialPosition"}
    given["streamName"] = stream
    return int(spark.read.format("tecton-kinesis").options(**given).load().count())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]))
