"""Starting: what a Python worker imports, what the format's look-up costs, the first batch.

Imports run in fresh processes, whose bytecode is compiled already. Spark runs twice: with
``pyspark_kinesis_source`` to be found, and with it hidden.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.measure._support import (
    BareQuery,
    source_options,
    stream_reader,
    use_no_aws_settings,
    wait_until,
)
from bench.replay import ReplayServer
from bench.report import Figure, figure_of, main, progress

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROOT: Final = Path(__file__).parents[2]
LOOK_UP: Final = "pyspark_kinesis_source"
REPEATS: Final = 5
RECORDS: Final = 30
"""No more than the driver's first look shows, so that all are in the first batch."""
_LOOK_UP_WORKER: Final = "import pyspark.sql.worker.lookup_data_sources"
_IMPORTS: Final = {
    "worker": (
        "import kinesis_source.spark.stream, kinesis_source.aws.client, kinesis_source.read.task"
    ),
    "spark": "import pyspark.sql.datasource, pyarrow",
    "planner": (
        "import kinesis_source.spark.stream, kinesis_source.aws.client,"
        " kinesis_source.plan.micro_batches"
    ),
    "spark's planner": "import pyspark.sql.datasource",
    "look-up": f"{_LOOK_UP_WORKER}, {LOOK_UP}",
    "look-up without": _LOOK_UP_WORKER,
    "boto3": "import boto3",
}
_BOTO_CLIENT: Final = """
import time, boto3
began_s = time.perf_counter()
boto3.client("kinesis", region_name="us-east-1")
print(time.perf_counter() - began_s)
"""


# -- imports --------------------------------------------------------------------------------------


def _import_s(statement: str) -> float:
    """Return the time that an import takes in a fresh process, without the interpreter's own."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", statement],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    # The last line of each outermost module has its whole time; site is the interpreter's own.
    lines = re.findall(r"import time:\s+\d+ \|\s+(\d+) \| (\S+)$", done.stderr, re.MULTILINE)
    names = [name for _, name in lines]
    after_site = lines[names.index("site") + 1 :]
    return sum(int(cumulative) for cumulative, _ in after_site) / 1e6


def _compile() -> None:
    """Write bytecode, as an installer does: it may be switched off in this environment."""
    for package in ("kinesis_source", LOOK_UP):
        subprocess.run(
            [sys.executable, "-m", "compileall", "-q", str(ROOT / package)], check=True, cwd=ROOT
        )


def _import_figures(repeats: int) -> list[Figure]:
    _compile()
    found: dict[str, list[float]] = {name: [] for name in _IMPORTS}
    for turn in range(repeats + 1):  # the first one may compile
        for name, statement in _IMPORTS.items():
            took_s = _import_s(statement)
            if turn:
                found[name].append(took_s)
    own = [ours - spark for ours, spark in zip(found["worker"], found["spark"], strict=True)]
    planner = [a - b for a, b in zip(found["planner"], found["spark's planner"], strict=True)]
    extra = [a - b for a, b in zip(found["look-up"], found["look-up without"], strict=True)]
    clients = [
        float(subprocess.check_output([sys.executable, "-c", _BOTO_CLIENT], cwd=ROOT))
        for _ in range(repeats)
    ]
    note = f"{repeats} fresh processes, -X importtime"
    return [
        figure_of("what a worker imports", found["worker"], "s", note=note),
        figure_of("import of pyspark.sql.datasource and pyarrow alone", found["spark"], "s"),
        figure_of("the source's own part of it", own, "s", note="difference, turn by turn"),
        figure_of("what the planner imports", planner, "s", note="beside pyspark.sql.datasource"),
        figure_of("import of boto3", found["boto3"], "s", note="for comparison"),
        figure_of("boto3.client('kinesis') after that", clients, "s", note="for comparison"),
        figure_of(
            f"{LOOK_UP} adds to Spark's look-up",
            extra,
            "s",
            note="once in each session that uses any Python data source; its import in that worker",
        ),
    ]


# -- a worker's first calls -----------------------------------------------------------------------

_FIRST_TASKS: Final = """
import json, pickle, sys, time
began_s = time.perf_counter()
reader, part = pickle.load(sys.stdin.buffer)
took_s = {"imports": time.perf_counter() - began_s}
rows = 0
for name in ("first", "second", "third"):
    began_s = time.perf_counter()
    rows += sum(batch.num_rows for batch in reader.read(part))
    took_s[name] = time.perf_counter() - began_s
print(json.dumps({"rows": rows, **took_s}))
"""


def _first_task_figures(repeats: int) -> list[Figure]:
    """Run the same small task three times in fresh processes that unpickle it, as workers do."""
    found: list[dict[str, float]] = []
    with ReplayServer(records_per_shard=RECORDS) as server:
        options = source_options(server.endpoint_url, maxFetchRate="unlimited")
        query = BareQuery(options)
        query.driver.prepareForTriggerAvailableNow()
        (part,) = query.plan()
        query.close()
        task = pickle.dumps((stream_reader(options), part))
        for _ in range(repeats):
            done = subprocess.run(
                [sys.executable, "-c", _FIRST_TASKS],
                cwd=ROOT,
                input=task,
                capture_output=True,
                check=True,
            )
            found.append(json.loads(done.stdout))
            assert found[-1]["rows"] == 3 * RECORDS, f"{found[-1]['rows']} rows"
    note = f"{RECORDS} records, server without latency; {repeats} fresh processes"
    shown = {
        "imports": "a worker's unpickling of its first task",
        "first": "a worker's first task",
        "second": "a worker's second task",
    }
    return [
        figure_of(
            text,
            [run[name] for run in found],
            "s",
            note={"imports": "imports of the source", "first": f"makes the client; {note}"}.get(
                name, ""
            ),
        )
        for name, text in shown.items()
    ]


# -- Spark ----------------------------------------------------------------------------------------

_HIDES: Final = f"""
import pkgutil
found = pkgutil.iter_modules
pkgutil.iter_modules = lambda *given: (m for m in found(*given) if m.name != {LOOK_UP!r})
"""


@contextmanager
def _session(*, is_hidden: bool) -> Iterator[SparkSession]:
    """Start Spark with its code warm but for data sources; hidden: the look-up does not find us."""
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    with tempfile.TemporaryDirectory() as folder:
        if is_hidden:
            # Workers of Spark load it before anything else.
            Path(folder, "sitecustomize.py").write_text(_HIDES, encoding="utf-8")
        os.environ["PYTHONPATH"] = os.pathsep.join(
            [folder, str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        spark = (
            SparkSession.builder.master("local[2]")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.sql.warehouse.dir", folder)
            .config("spark.local.dir", folder)
            .getOrCreate()
        )
        try:
            spark.sparkContext.setLogLevel("ERROR")
            spark.range(10).selectExpr("sum(id)").collect()
            yield spark
        finally:
            spark.stop()


def _in_spark(endpoint_url: str, is_hidden: bool, queries: int, result: Connection) -> None:
    """Time what comes first in a session; a process of its own, as the look-up is once in a JVM."""
    use_no_aws_settings()
    took_s: dict[str, float | list[float]] = {}
    with _session(is_hidden=is_hidden) as spark:
        from pyspark.sql.datasource import DataSource

        class Other(DataSource):
            @classmethod
            def name(cls) -> str:
                return "bench-other"

            def schema(self) -> str:
                return "value int"

        began_s = time.perf_counter()
        spark.dataSource.register(Other)
        spark.readStream.format("bench-other").load()
        took_s["look-up"] = time.perf_counter() - began_s
        if is_hidden:
            from kinesis_source.datasource import register

            register(spark)
        began_s = time.perf_counter()
        frame = _load(spark, endpoint_url)
        took_s["load"] = time.perf_counter() - began_s
        took_s["queries"] = [_first_batch_s(frame) for _ in range(queries)]
    result.send(took_s)


def _load(spark: SparkSession, endpoint_url: str) -> DataFrame:
    options = source_options(endpoint_url)
    return spark.readStream.format("tecton-kinesis").options(**options).load()


def _first_batch_s(frame: DataFrame) -> float:
    """Return the time from start() to the end of the first batch with rows."""
    with tempfile.TemporaryDirectory() as checkpoint:
        began_s = time.perf_counter()
        query = frame.writeStream.format("noop").option("checkpointLocation", checkpoint).start()
        try:
            wait_until(
                lambda: any(batch["numInputRows"] for batch in query.recentProgress),
                60.0,
                "the first batch",
            )
            took_s = time.perf_counter() - began_s
            assert query.recentProgress[0]["numInputRows"] == RECORDS, "not all rows"
        finally:
            query.stop()
    return took_s


def _spark_figures(repeats: int) -> list[Figure]:
    """Start Spark in turn with the look-up module to be found and hidden."""
    found: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    with ReplayServer(records_per_shard=RECORDS, latency_ms=10.0) as server:
        for turn in range(repeats):
            for is_hidden in (False, True):
                progress(f"startup: Spark {turn + 1}/{repeats}, {is_hidden=}")
                ours, theirs = multiprocessing.Pipe()
                process = multiprocessing.get_context("spawn").Process(
                    target=_in_spark,
                    args=(server.endpoint_url, is_hidden, 0 if is_hidden else 3, theirs),
                )
                process.start()
                theirs.close()
                found[is_hidden].append(ours.recv())
                process.join(30)
    seen, hidden = found[False], found[True]
    queries = [run["queries"] for run in seen]
    return [
        figure_of(
            f"first use of any Python data source, {LOOK_UP} hidden",
            [run["look-up"] for run in hidden],
            "s",
            note=f"register and load of another source; {repeats} JVM each",
        ),
        figure_of(
            f"first use of any Python data source, {LOOK_UP} found",
            [run["look-up"] for run in seen],
            "s",
        ),
        figure_of("first load() of tecton-kinesis after that", [run["load"] for run in seen], "s"),
        figure_of(
            "start() to the end of the first batch, first query of a session",
            [times[0] for times in queries],
            "s",
            note=f"{RECORDS} records, noop sink; planner and workers start",
        ),
        figure_of(
            "start() to the end of the first batch, warm session",
            [took for times in queries for took in times[1:]],
            "s",
            note="later queries: Python workers are there, a planner starts for each",
        ),
    ]


def measure(quick: bool) -> list[Figure]:
    """Return what starting costs."""
    use_no_aws_settings()
    progress("startup: imports")
    figures = [*_import_figures(1 if quick else REPEATS)]
    progress("startup: first tasks")
    figures += _first_task_figures(1 if quick else REPEATS)
    return figures if quick else [*figures, *_spark_figures(1)]


if __name__ == "__main__":
    main(measure)
