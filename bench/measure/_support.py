"""What several measurements need: options, a query without Spark, what was delivered, memory.

Runs in the measurement's own process. Everything here uses what a user or Spark uses: options, the
data source, the protocol of a stream reader.
"""

from __future__ import annotations

import json
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from bench.replay import ReplayServer, ReplaySettings
from bench.replay.records import index_of_sequence

if TYPE_CHECKING:
    from pyspark.sql.datasource import InputPartition
    from typing_extensions import Self

    from kinesis_source.spark.stream import KinesisStreamReader

__all__ = [
    "MIB",
    "BareQuery",
    "Delivered",
    "MemoryWatch",
    "assert_none_refused",
    "calls_between",
    "data_bytes",
    "descendants",
    "is_still_live",
    "memory_bytes",
    "quantile",
    "source_options",
    "stream_reader",
    "use_no_aws_settings",
    "wait_for_silence",
    "wait_until",
]

MIB: Final = 1024 * 1024
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


# -- the source ---------------------------------------------------------------------------------


def use_no_aws_settings() -> None:
    """Let nothing of the machine's own AWS configuration reach a measurement."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AWS_EC2_METADATA_DISABLED="true",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )


def source_options(endpoint_url: str, **options: str) -> dict[str, str]:
    """Return the options of a stream at an endpoint on loopback, from its oldest record on."""
    return {
        "streamName": "events",
        "region": "us-east-1",
        "endpointUrl": endpoint_url,
        "awsAccessKey": "test",
        "awsSecretKey": "test",
        "initialPosition": "trim_horizon",
        **options,
    }


def stream_reader(options: dict[str, str]) -> KinesisStreamReader:
    """Return the reader of a query with all columns, made as Spark makes it."""
    from kinesis_source.datasource import KinesisDataSource

    source = KinesisDataSource(options)
    reader: Any = source.streamReader(source.schema())
    return reader  # type: ignore[no-any-return]


class BareQuery:
    """A streaming query without Spark: the calls that Spark makes, in its order.

    Parameters
    ----------
    options : dict of str to str
        Of the source.
    """

    def __init__(self, options: dict[str, str]) -> None:
        self.driver = stream_reader(options)
        self._executor: KinesisStreamReader = pickle.loads(pickle.dumps(self.driver))  # noqa: S301
        self.offset = self.driver.initialOffset()

    def plan(self) -> list[InputPartition]:
        """Return what the tasks of the next batch read; nothing if there is no news."""
        end = self.driver.latestOffset(self.offset, self.driver.getDefaultReadLimit())
        if end == self.offset:
            return []
        start, self.offset = self.offset, json.loads(json.dumps(end))
        return self.driver.partitions(start, self.offset)

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Read a task's part, as a copy of the reader does it on an executor."""
        return self._executor.read(partition)

    def close(self) -> None:
        """End the driver's part."""
        self.driver.stop()


class Delivered:
    """What was read of one shard of a replay server; makes sure that nothing lacks or is double."""

    def __init__(self) -> None:
        self.rows = 0
        self.data_bytes = 0
        self._next: int | None = None

    def add(self, batch: pa.RecordBatch) -> int:
        """Take a batch that follows the one before; return its bytes of data."""
        numbers = batch.column("sequenceNumber")
        first, last = (
            index_of_sequence(int(numbers[place].as_py()), after=False)
            for place in (0, len(numbers) - 1)
        )
        assert self._next in (None, first), f"record {first} came instead of {self._next}"
        assert last - first == len(numbers) - 1, f"records between {first} and {last} lack"
        self._next = last + 1
        size = data_bytes(batch)
        self.rows += batch.num_rows
        self.data_bytes += size
        return size


def data_bytes(batch: pa.RecordBatch) -> int:
    """Return how many bytes of data a batch has."""
    return int(pc.sum(pc.binary_length(batch.column("data"))).as_py() or 0)


def calls_between(
    before: Mapping[str, Any], after: Mapping[str, Any], kind: str = "calls"
) -> dict[str, int]:
    """Return the calls by operation between two ``stats()`` of a replay server."""
    return {
        operation: count - before[kind].get(operation, 0)
        for operation, count in after[kind].items()
        if count != before[kind].get(operation, 0)
    }


def assert_none_refused(server: ReplayServer) -> None:
    """Make sure that a server with limits had nothing to refuse."""
    refused = server.stats()["refused"]
    assert not any(refused.values()), f"calls were refused: {refused}"


def wait_for_silence(server: ReplayServer) -> None:
    """Wait until nobody calls any more: a call to a server that is gone is repeated for minutes."""
    calls: list[dict[str, int]] = [{}]

    def is_silent() -> bool:
        time.sleep(0.2)
        calls.append(server.stats()["calls"])
        return calls[-1] == calls[-2]

    wait_until(is_silent, 60, "an end of the calls")


def is_still_live(settings: ReplaySettings) -> bool:
    """Say whether records still come in; true where none were to come."""
    assert settings.ends_at_ms is not None
    return not settings.is_live or time.time() * 1000 < settings.ends_at_ms


# -- waiting and numbers ------------------------------------------------------------------------


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Wait on a condition.

    Raises
    ------
    TimeoutError
        Says what did not come.
    """
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(0.02)


def quantile(values: list[float], share: float) -> float:
    """Return the smallest value that at least a share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


# -- memory -------------------------------------------------------------------------------------


def memory_bytes(pid: int) -> int:
    """Return what a process holds in memory (RSS); 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/statm").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(text.split()[1]) * _PAGE_BYTES


def descendants(pid: int) -> dict[int, str]:
    """Return the processes below a process, with their command lines."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                text = (folder / "stat").read_text(encoding="utf-8")
            except (FileNotFoundError, ProcessLookupError):
                continue
            # The name in brackets may hold spaces.
            parents[int(folder.name)] = int(text.rpartition(")")[2].split()[1])
    found: dict[int, str] = {}
    wave = {pid}
    while wave:
        wave = {child for child, parent in parents.items() if parent in wave}
        found.update((child, _command(child)) for child in wave)
    return found


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return b" ".join(words).decode(errors="replace")


class MemoryWatch:
    """Samples the memory of Spark's Python processes below this one, by kind.

    ``samples`` has for ``planner`` and ``worker`` the times (monotonic seconds) and bytes of each
    process. A worker is whatever else of pyspark reads: Spark forks it from a daemon, which is
    sampled with it and only smaller.
    """

    def __init__(self, every_s: float = 0.2) -> None:
        self.samples: dict[str, dict[int, list[tuple[float, int]]]] = {"planner": {}, "worker": {}}
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def peak_bytes(self, kind: str, since_s: float = 0.0, until_s: float = float("inf")) -> int:
        """Return the most that one process of a kind held within a time."""
        return max(
            (
                size
                for life in self.samples[kind].values()
                for at_s, size in life
                if since_s <= at_s <= until_s
            ),
            default=0,
        )

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            for pid, command in descendants(os.getpid()).items():
                kind = _kind(command)
                if kind is not None:
                    life = self.samples[kind].setdefault(pid, [])
                    life.append((time.monotonic(), memory_bytes(pid)))


def _kind(command: str) -> str | None:
    if "python_streaming_source_runner" in command:
        return "planner"
    if "pyspark.daemon" in command or "pyspark.worker" in command:
        return "worker"
    return None
