"""The reader of a task: what it fetches in vain, how near it keeps to AWS's limits, its memory.

Without Spark, but for the fifty shards: a query's driver and executor parts share this process and
talk to a replay server that answers after 10 ms and refuses what AWS refuses. Arrow batches are
checked to hold every record once.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.measure._support import (
    MIB,
    BareQuery,
    Delivered,
    calls_between,
    data_bytes,
    is_still_live,
    source_options,
    stream_reader,
    use_no_aws_settings,
    wait_for_silence,
)
from bench.replay import ReplayServer
from bench.report import Figure, figure_of, main, progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.datasource import InputPartition

LATENCY_MS: Final = 10.0
SHARD_BYTES_PER_S: Final = 2_000_000
"""AWS: what a shard gives, in MB of 10^6 bytes; its throttle is set to 2 MiB."""
WINDOW_S: Final = 5.0
MANY_SHARDS: Final = 50
MANY_RECORDS: Final = 10_000
LONG_RECORDS: Final = 40_000
"""Twenty seconds, so that the first half a second does not count."""
MARGIN_S: Final = 60


def _live(record_bytes: int, records_per_s: float, backlog_s: int, live_s: int) -> ReplayServer:
    """Serve one shard that has a backlog and goes on getting records."""
    return ReplayServer(
        record_bytes=record_bytes,
        records_per_s=records_per_s,
        records_per_shard=int(records_per_s * (backlog_s + live_s)),
        ends_at_ms=int(time.time() * 1000) + live_s * 1000,
        is_live=True,
        latency_ms=LATENCY_MS,
        limits=True,
    )


def _side_by_side(tasks: list[Callable[[], list[Figure]]]) -> list[Figure]:
    """Measure several things that leave the cores idle at once."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        return [figure for found in pool.map(lambda task: task(), tasks) for figure in found]


# -- records fetched in vain ----------------------------------------------------------------------


def measure_over_read(record_bytes: int, records_per_s: float, batches: int) -> list[Figure]:
    """Read a shard at full rate, a micro-batch a second, and count what the server sent."""
    size = f"{records_per_s:,.0f} records/s of {record_bytes / 1000:.0f} KB"
    ratios: list[float] = []
    calls: list[int] = []
    sent = wanted = total = 0
    with _live(record_bytes, records_per_s, 1, batches + MARGIN_S) as server:
        query = BareQuery(source_options(server.endpoint_url, initialPosition="latest"))
        delivered = Delivered()
        next_s = time.monotonic()
        while len(ratios) < batches:
            time.sleep(max(0.0, next_s - time.monotonic()))
            next_s += 1.0
            parts = query.plan()
            before = server.stats()
            if not total:
                total = -before["record_bytes"]
            got = sum(delivered.add(batch) for part in parts for batch in query.read(part))
            after = server.stats()
            if got < record_bytes * records_per_s / 2:
                continue  # the first ones, which find out where the shard is
            now_sent = after["record_bytes"] - before["record_bytes"]
            ratios.append(now_sent / got)
            calls.append(calls_between(before, after).get("GetRecords", 0))
            sent, wanted = sent + now_sent, wanted + got
        total += server.stats()["record_bytes"]
        assert is_still_live(server.settings), "the records ended before the measurement did"
        refused = sum(server.stats()["refused"].values())
        query.close()
        wait_for_silence(server)
    return [
        Figure(
            f"over-read, {size}",
            sent / wanted,
            "x",
            spread=(min(ratios), max(ratios)),
            target=1.15,
            target_is="at most",
            note=(
                f"bytes sent for reads / delivered, {batches} batches of a second; "
                f"{statistics.mean(calls):.1f} GetRecords each; {refused} refused"
            ),
        ),
        Figure(
            f"driver's share, {size}",
            (total - sent) / wanted,
            "x",
            note="bytes sent outside of reads / delivered",
        ),
    ]


# -- one shard that is behind ---------------------------------------------------------------------


def measure_catch_up(record_bytes: int, records_per_s: float, seconds: int) -> list[Figure]:
    """Read a backlog of one shard, with the driver polling the shard's live end meanwhile."""
    size = f"records of {record_bytes / 1000:.0f} KB"
    backlog_s = int((seconds + 2) * SHARD_BYTES_PER_S / (record_bytes * records_per_s)) + 1
    with _live(record_bytes, records_per_s, backlog_s, MARGIN_S) as server:
        query = BareQuery(source_options(server.endpoint_url, maxBytesPerTrigger="10g"))
        start = query.offset
        for _ in range(3):  # the first offsets only find out how far the shard goes
            query.plan()
        parts = query.driver.partitions(start, query.offset)
        server.reset_stats()
        delivered = Delivered()
        began_s = time.monotonic()
        ends_s = [began_s + seconds, began_s + WINDOW_S]
        rates = []
        window_bytes = 0
        with ThreadPoolExecutor(1) as pool:
            is_over = threading.Event()
            polls = pool.submit(_poll_on, query, is_over)
            try:
                for batch in (batch for part in parts for batch in query.read(part)):
                    window_bytes += delivered.add(batch)
                    now_s = time.monotonic()
                    if now_s >= ends_s[1]:
                        rates.append(window_bytes / (now_s - ends_s[1] + WINDOW_S) / 1e6)
                        window_bytes, ends_s[1] = 0, now_s + WINDOW_S
                    if now_s >= ends_s[0]:
                        break
                took_s = time.monotonic() - began_s
            finally:
                is_over.set()
            polled = polls.result()
        assert took_s >= seconds, f"the backlog was read after {took_s:.1f} s"
        stats = server.stats()
        query.close()
        wait_for_silence(server)
    rate = delivered.data_bytes / took_s
    calls = stats["calls"]["GetRecords"]
    refused = sum(stats["refused"].values())
    return [
        Figure(
            f"a shard that is behind, {size}",
            rate / 1e6,
            "MB/s",
            spread=(min(rates), max(rates)) if len(rates) > 1 else None,
            target=0.95 * SHARD_BYTES_PER_S / 1e6,
            target_is="at least",
            note=(
                f"{seconds} s in windows of {WINDOW_S:.0f} s; {rate / SHARD_BYTES_PER_S:.1%} of "
                f"2 MB/s, {rate / (2 * MIB):.1%} of 2 MiB/s; the driver polled {polled} times"
            ),
        ),
        Figure(
            f"a shard that is behind, {size}: refused calls",
            100 * refused / calls,
            "%",
            target=0.0,
            target_is="at most",
            note=f"{refused} of {calls} GetRecords, driver's included",
        ),
    ]


def _poll_on(query: BareQuery, is_over: threading.Event) -> int:
    """Ask for offsets as fast as the planner gives them: it looks once in a poll interval."""
    times = 0
    while not is_over.is_set():
        query.plan()
        times += 1
    return times


# -- fifty shards that are behind, through Spark ---------------------------------------------------


def measure_fifty() -> list[Figure]:
    """Read fifty backlogs with two tasks at a time, as a user's own query does."""
    from bench.sources import spark_session

    settings: dict[str, Any] = {"shards": MANY_SHARDS, "latency_ms": LATENCY_MS}
    most = MANY_SHARDS * SHARD_BYTES_PER_S / 1e6
    figures = []
    with spark_session() as spark:
        with ReplayServer() as server:
            _read_all(spark, server, {})  # warms up
        progress("reader: 50 shards without limits")
        with ReplayServer(**settings, records_per_shard=MANY_RECORDS) as server:
            fastest = {"shardsPerTask": "25", "maxFetchRate": "unlimited"}
            rates = [_read_all(spark, server, fastest) for _ in range(2)]
            most = min(most, statistics.median(rates))
        note = f"{MANY_SHARDS} shards of {MANY_RECORDS // 1000} MB, local[2], availableNow"
        figures.append(figure_of("50 shards without limits", rates, "MB/s", note=note))
        # Five shards a task are ten at a time here: only what a task reads side by side counts.
        for case, options, records, target in (
            ("default options", {}, MANY_RECORDS, None),
            ("shardsPerTask=25", {"shardsPerTask": "25"}, LONG_RECORDS, 0.95 * most),
        ):
            progress(f"reader: 50 shards, {case}")
            with ReplayServer(**settings, records_per_shard=records, limits=True) as server:
                rate = _read_all(spark, server, options)
                stats = server.stats()
            refused = sum(stats["refused"].values())
            figures.append(
                Figure(
                    f"50 shards with AWS's limits, {case}",
                    rate,
                    "MB/s",
                    target=target,
                    target_is="at least" if target is not None else None,
                    note=(
                        f"{records // 1000} MB each; {refused} of {sum(stats['calls'].values())} "
                        "calls refused"
                    ),
                )
            )
    return figures


def _read_all(spark: SparkSession, server: ReplayServer, options: dict[str, str]) -> float:
    """Return the MB/s of Spark's addBatch."""
    from bench.sources import run_available_now

    run = run_available_now(spark, "tecton-kinesis", source_options(server.endpoint_url, **options))
    expected = server.settings.shards * server.settings.records_per_shard
    assert run.rows == expected, f"{run.rows} rows, expected {expected}"
    return run.rows * server.settings.record_bytes / run.add_batch_s / 1e6


# -- memory ---------------------------------------------------------------------------------------


def measure_memory(record_bytes: int, pages: int) -> Figure:
    """Read 20 shards in one task, with the largest pages, into a slow consumer."""
    shards = 20
    page_records = min(10_000, 10 * MIB // (record_bytes + 16))
    with ReplayServer(
        shards=shards,
        record_bytes=record_bytes,
        records_per_shard=page_records * pages,
        records_per_s=1_000_000 / record_bytes,
    ) as server:
        options = source_options(
            server.endpoint_url, shardsPerTask=str(shards), maxFetchRate="unlimited"
        )
        query = BareQuery(options)
        query.driver.prepareForTriggerAvailableNow()
        (part,) = query.plan()
        query.close()
        ours, theirs = multiprocessing.Pipe()
        # A process of its own, with nothing of this one's memory, as a Python worker is.
        process = multiprocessing.get_context("spawn").Process(
            target=_read_slowly, args=(options, part, theirs)
        )
        process.start()
        theirs.close()
        try:
            rows, batches, before, peak = ours.recv()
        finally:
            process.join(30)
    assert rows == shards * page_records * pages, f"{rows} rows of {shards} shards"
    return Figure(
        f"memory of a task, records of {record_bytes / 1000:,.0f} KB",
        peak / 1e6,
        "MB",
        target=600.0,
        target_is="at most",
        note=(
            f"peak RSS: 20 shards of {pages} pages of 10 MiB in one task, a consumer that takes "
            f"{batches} batches 50 ms apart; {before / 1e6:.0f} MB before the read"
        ),
    )


def _read_slowly(options: dict[str, str], part: InputPartition, result: Connection) -> None:
    """Read a task in this process; send rows, batches, memory before and at the peak."""
    use_no_aws_settings()
    reader = stream_reader(options)
    before = _peak_bytes()
    rows = batches = 0
    for batch in reader.read(part):
        rows += batch.num_rows
        batches += 1
        assert data_bytes(batch)
        time.sleep(0.05)
    result.send((rows, batches, before, _peak_bytes()))


def _peak_bytes() -> int:
    """Return the most memory this process ever had; not getrusage's, which knows its parent's."""
    status = Path(f"/proc/{os.getpid()}/status").read_text(encoding="utf-8")
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) * 1024


def measure(quick: bool) -> list[Figure]:
    """Return what the reader does."""
    use_no_aws_settings()
    batches, seconds = (6, 10) if quick else (20, 20)
    progress("reader: over-read and catching up")
    over_read: list[Callable[[], list[Figure]]] = [
        lambda: measure_over_read(1_000, 1_000.0, batches),
        lambda: measure_over_read(10_000, 100.0, batches),
    ]
    catch_up: list[Callable[[], list[Figure]]] = [
        lambda: measure_catch_up(1_000, 1_000.0, seconds),
        lambda: measure_catch_up(10_000, 100.0, seconds),
    ]
    if quick:
        figures = _side_by_side([*over_read, *catch_up])
    else:
        figures = _side_by_side(over_read) + _side_by_side(catch_up)
    progress("reader: memory")
    if quick:
        return [*figures, measure_memory(1_048_000, 2)]
    figures += [measure_memory(1_048_000, 3), measure_memory(10_000, 3)]
    return [*figures, *measure_fifty()]


if __name__ == "__main__":
    main(measure)
