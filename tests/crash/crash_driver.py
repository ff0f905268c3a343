"""The driver that the crash tests kill: one Spark session, up to two queries, told what to do.

A process of its own: ``crash_driver.py <settings.json> <events file>``. Reads commands from stdin,
one a line, and appends what happened to the events file, one word a line:

=========  =======================================================================================
start      start the queries; they run until they are stopped or killed
stop       end them in good order
where      write ``where.json``: the files that the package is imported from, and by which process
finish     run the queries once more with AvailableNow, write ``files.json`` with what a reader of
           the file sink sees, and end with status 0
=========  =======================================================================================

Sinks, below the work folder: ``batches`` is foreachBatch, one folder ``out/<batch id>`` that a
replay overwrites, with a line in ``attempts`` when it begins and in ``done`` when the rows are
there; while a file ``hold`` exists it waits before it reads. ``files`` is Spark's own Parquet sink,
``files/``. Ends with status 1 when a query fails, and with its parent.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

COLUMNS = ("shardId", "sequenceNumber", "data")


class Driver:
    def __init__(self, settings: dict[str, Any], events: Path) -> None:
        self._settings = settings
        self._work = Path(settings["work"])
        self._events = events
        self._queries: list[Any] = []
        builder = SparkSession.builder.appName("crash").master(settings["master"])
        for name, value in settings["conf"].items():
            builder = builder.config(name, value)
        self._spark = builder.getOrCreate()

    def say(self, event: str) -> None:
        with self._events.open("a") as events:
            events.write(event + "\n")

    def run(self) -> int:
        commands: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=_read_commands, args=(commands,), daemon=True).start()
        self.say("ready")
        while True:
            try:
                command = commands.get(timeout=0.2)
            except queue.Empty:
                self._fail_with_the_queries()
                continue
            {"start": self.start, "stop": self.stop, "where": self.where, "finish": self.finish}[
                command
            ]()
            if command == "finish":
                self._spark.stop()
                return 0

    def start(self, **trigger: Any) -> None:
        writers = {"batches": self._batches, "files": self._files}
        self._queries = [
            writers[name]().trigger(**(trigger or {"processingTime": "0 seconds"})).start()
            for name in self._settings["sinks"]
        ]
        self.say("started")

    def stop(self) -> None:
        for query in self._queries:
            query.stop()
        self._fail_with_the_queries()
        self._queries = []
        self.say("stopped")

    def where(self) -> None:
        def place(_: int) -> tuple[int, str]:
            import kinesis_source.spark.stream as imported

            time.sleep(0.3)  # or one worker takes all tasks
            return os.getpid(), str(imported.__file__)

        here = place(0)
        there = self._spark.sparkContext.parallelize(range(8), 8).map(place).collect()
        (self._work / "where.json").write_text(json.dumps({"driver": here, "workers": there}))
        self.say("where")

    def finish(self) -> None:
        self.start(availableNow=True)
        for query in self._queries:
            query.awaitTermination()
        if "files" in self._settings["sinks"]:
            rows = self._spark.read.parquet(str(self._work / "files")).select(*COLUMNS).collect()
            shown = [
                (shard, number, base64.b64encode(data).decode()) for shard, number, data in rows
            ]
            (self._work / "files.json").write_text(json.dumps(shown))
        self.say("finished")

    def _source(self) -> Any:
        reader = self._spark.readStream.format("tecton-kinesis")
        return reader.options(**self._settings["options"]).load().select(*COLUMNS)

    def _batches(self) -> Any:
        writer = self._source().writeStream.foreachBatch(self._write_batch)
        return writer.option("checkpointLocation", str(self._work / "checkpoint"))

    def _files(self) -> Any:
        writer = self._source().writeStream.format("parquet")
        writer = writer.option("checkpointLocation", str(self._work / "files-checkpoint"))
        return writer.option("path", str(self._work / "files"))

    def _write_batch(self, frame: Any, batch_id: int) -> None:
        self._note("attempts", batch_id)
        while (self._work / "hold").exists():
            time.sleep(0.02)
        frame.write.mode("overwrite").parquet(str(self._work / "out" / str(batch_id)))
        self._note("done", batch_id)
        time.sleep(self._settings["pause_before_commit_s"])

    def _note(self, name: str, batch_id: int) -> None:
        with (self._work / name).open("a") as lines:
            lines.write(f"{batch_id} {os.getpid()}\n")

    def _fail_with_the_queries(self) -> None:
        for query in self._queries:
            failure = query.exception()
            if failure is not None:
                sys.stderr.write(f"THE QUERY FAILED: {failure}\n")
                self.say("failed")
                sys.exit(1)


def _read_commands(commands: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        commands.put(line.strip())
    os._exit(3)  # the tests are gone


def main() -> int:
    settings = json.loads(Path(sys.argv[1]).read_text())
    return Driver(settings, Path(sys.argv[2])).run()


if __name__ == "__main__":
    sys.exit(main())
