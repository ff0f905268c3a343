"""A local Spark for the demo: found, started without noise, and ended for sure.

Runs on the user's machine. What the JVM and Spark's workers write goes to a log file, which is kept
and named only if something failed.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kinesis_source.diagnosis.findings import OK
from kinesis_source.diagnosis.machine import check_java
from kinesis_source.errors import KinesisSourceError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["check_tools", "start_spark", "stop_spark", "within"]

_STOP_S: Final = 10.0
_CONFIG: Final = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
}
# These would lead away from a local session of this Python.
_FOREIGN: Final = ("SPARK_REMOTE", "SPARK_LOCAL_REMOTE", "SPARK_CONNECT_MODE_ENABLED")


class MissingToolError(KinesisSourceError):
    """What a command needs is not installed."""


def check_tools() -> None:
    """Make sure that PySpark 4 and Java are there, before anything starts.

    Raises
    ------
    MissingToolError
        Says what is missing and how to get it.
    """
    if importlib.util.find_spec("pyspark") is None:
        raise MissingToolError(
            "TOOL_MISSING",
            "PySpark is not installed here.",
            "Install it with: pip install 'pyspark>=4,<4.4'.",
        )
    from pyspark import __version__ as spark_version

    if int(spark_version.partition(".")[0]) < 4:
        raise MissingToolError(
            "TOOL_MISSING",
            f"PySpark is {spark_version}, and data sources in Python need 4.0 or newer.",
            "Install it with: pip install 'pyspark>=4,<4.4'.",
        )
    _check_java()


def _check_java() -> None:
    found = check_java()
    if found.state != OK:
        raise MissingToolError("TOOL_MISSING", f"Spark needs Java: {found.text}.", found.todo)


def start_spark(directory: Path, log: Path) -> SparkSession:
    """Start a session on two threads of this machine.

    Parameters
    ----------
    directory : pathlib.Path
        For all that Spark writes.
    log : pathlib.Path
        Gets the output of the JVM and of the workers.
    """
    for name in _FOREIGN:
        os.environ.pop(name, None)
    # Else the workers run the system's Python, where neither this package nor pyarrow may be.
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable

    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").appName("kinesis-source demo")
    for key, value in _CONFIG.items():
        builder = builder.config(key, value)
    builder = builder.config("spark.local.dir", str(directory))
    builder = builder.config("spark.sql.warehouse.dir", str(directory / "warehouse"))
    on_interrupt = signal.getsignal(signal.SIGINT)
    with _output_to(log):
        spark = builder.getOrCreate()
    if threading.current_thread() is threading.main_thread():
        # PySpark's own handler calls the JVM, which fails loudly in the midst of another call.
        signal.signal(signal.SIGINT, on_interrupt)
    spark.sparkContext.setLogLevel("ERROR")
    return spark


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Let processes that start meanwhile write to a file; they keep it for good.

    Spark's launcher and Java write before any log setting counts.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    try:
        with path.open("ab") as file:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
        yield
    finally:
        for descriptor, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)


def stop_spark(spark: SparkSession, log: Path) -> None:
    """Stop all queries and the session, in bounded time.

    On a thread of its own: after Ctrl-C in the midst of a call to the JVM, this thread's connection
    would give the answer to that call. PySpark's accumulator server prints a stack when tasks are
    cut off, which goes to the log.

    Parameters
    ----------
    spark : SparkSession
    log : pathlib.Path
    """

    def stop() -> None:
        for query in spark.streams.active:
            query.stop()
        spark.stop()

    with _output_to(log):
        within(_STOP_S, stop)
        sys.stderr.flush()


def within(limit_s: float, work: Callable[[], None]) -> bool:
    """Run something on another thread; say whether it ended well in time. Never raises."""
    is_done = threading.Event()

    def run() -> None:
        # It ends a process that may be half dead already: there is nobody to tell.
        with suppress(Exception):
            work()
            is_done.set()

    thread = threading.Thread(target=run, name="demo-stop", daemon=True)
    thread.start()
    thread.join(limit_s)
    return is_done.is_set()
