"""The soak's reader: one Spark driver with one query, started and killed again and again.

Writes every micro-batch to ``<work>/out/<batch id>`` (Parquet, overwritten by a replay) and a line
to ``<work>/attempts`` before it does. Ends in good order on SIGTERM; with status 1 if the query
fails.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession


def options(facts: dict[str, Any]) -> dict[str, str]:
    access_key, secret_key = facts["reader"]
    return {
        "streamName": facts["stream"],
        "region": facts["region"],
        "endpointUrl": facts["endpoint"],
        "stsEndpoint": facts["endpoint"],
        "awsAccessKey": access_key,
        "awsSecretKey": secret_key,
        "roleArn": facts["role"],
        "roleExternalId": facts["external_id"],
        "initialPosition": "trim_horizon",
        "pollInterval": "1s",
        "shardFetchInterval": "2s",
        "readTimeout": "3s",
        "retryBudget": "60s",
    }


def session(work: Path) -> SparkSession:
    settings = {
        "spark.master": "local[2]",
        "spark.driver.memory": "512m",
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": str(work / "warehouse"),
        "spark.local.dir": str(work / "spark"),
        "spark.sql.shuffle.partitions": "2",
    }
    builder = SparkSession.builder.appName("soak")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    work: Path = parser.parse_args().work
    facts = json.loads((work / "facts.json").read_text())
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    spark = session(work)

    def write(frame: Any, batch_id: int) -> None:
        with (work / "attempts").open("a") as attempts:
            attempts.write(f"{batch_id} {os.getpid()}\n")
        columns = frame.select("shardId", "sequenceNumber", "data")
        columns.write.mode("overwrite").parquet(str(work / "out" / str(batch_id)))

    query = (
        spark.readStream.format("tecton-kinesis")
        .options(**options(facts))
        .load()
        .writeStream.foreachBatch(write)
        .option("checkpointLocation", str(work / "checkpoint"))
        .start()
    )
    while query.isActive and not stop.wait(0.5):
        pass
    failure = query.exception()
    query.stop()
    spark.stop()
    if failure is not None:
        sys.stderr.write(f"THE QUERY FAILED: {failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
