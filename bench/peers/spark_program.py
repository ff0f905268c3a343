"""One streaming query of a contender, in its own Python: ``spark_program.py SETTINGS.json``.

Runs with any pyspark from 3.5 on, and imports nothing of this project: a contender's environment
has none of it. In: a file with ``format``, ``options``, ``conf``, ``rows``, ``folder``, ``verify``
and ``deadline_s``. Out: one line of JSON, the last on standard output.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.streaming.query import StreamingQuery

SETTLE_S = 3.0
"""So long a verified query goes on after the last row: what comes then came twice."""


def main() -> None:
    """Read until all rows were seen; print what there is to say of it."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").appName("bench-peers")
    for name, value in settings["conf"].items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    frame = spark.readStream.format(settings["format"]).options(**settings["options"]).load()
    shown = _verify(frame, settings) if settings["verify"] else _measure(frame, settings)
    spark.stop()
    print(json.dumps(shown))


def _measure(frame: DataFrame, settings: dict[str, Any]) -> dict[str, Any]:
    """Count rows as Spark does, into a sink that drops them."""
    began_s = time.monotonic()
    query = (
        frame.writeStream.format("noop")
        .option("checkpointLocation", f"{settings['folder']}/checkpoint")
        .start()
    )
    rows, first_s = _wait(query, settings, began_s)
    wall_s = time.monotonic() - began_s
    query.stop()
    return {"rows": rows, "wall_s": wall_s, "first_s": first_s}


def _wait(
    query: StreamingQuery, settings: dict[str, Any], began_s: float
) -> tuple[int, float | None]:
    """Wait until all rows were seen; return how many, and when the first batch had ended."""
    first_s = None
    seen: dict[int, int] = {}
    while sum(seen.values()) < settings["rows"]:
        error = query.exception()
        if error is not None:
            raise error
        if time.monotonic() - began_s > settings["deadline_s"]:
            break
        for batch in query.recentProgress:
            # Of a query that idles each progress repeats the number of its last batch.
            seen[batch["batchId"]] = max(batch["numInputRows"], seen.get(batch["batchId"], 0))
            if first_s is None and batch["numInputRows"]:
                first_s = time.monotonic() - began_s
        time.sleep(0.02)
    return sum(seen.values()), first_s


def _verify(frame: DataFrame, settings: dict[str, Any]) -> dict[str, Any]:
    """Count rows, and how often each partition key comes."""
    folder = f"{settings['folder']}/rows"

    def keep(batch: DataFrame, _: int) -> None:
        batch.select("partitionKey").write.mode("append").parquet(folder)

    query = (
        frame.writeStream.foreachBatch(keep)
        .option("checkpointLocation", f"{settings['folder']}/checkpoint-of-verification")
        .start()
    )
    rows, _ = _wait(query, settings, time.monotonic())
    time.sleep(SETTLE_S)
    query.stop()
    counts = frame.sparkSession.read.parquet(folder).groupBy("partitionKey").count()
    row = counts.selectExpr("min(count)", "max(count)", "count(*)", "sum(count)").first()
    assert row is not None
    low, high, keys, total = row
    return {"rows": total, "seen": rows, "keys": keys, "fewest": low, "most": high}


if __name__ == "__main__":
    main()
