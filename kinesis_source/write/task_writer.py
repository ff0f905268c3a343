"""What one task writes: its rows, into one stream or several.

Runs on the executors. In: Arrow batches or Spark's rows. Out: counts. Nothing is left on its way
when a task has ended well; of one that failed, what is in the stream stays there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from kinesis_source.aws.api import RecordApi
from kinesis_source.errors import AccessDeniedError, RecordError
from kinesis_source.model.outgoing import OutRecord
from kinesis_source.options.settings import StreamSettings, WriteSettings
from kinesis_source.write.shards import ShardMap
from kinesis_source.write.stream_writer import StreamWriter, Target, WriteCounts

__all__ = ["MOST_STREAMS", "find_target", "write_records"]

_log = logging.getLogger(__name__)

CHUNK_RECORDS: Final = 250
CHUNK_BYTES: Final = 1024 * 1024
MOST_STREAMS: Final = 50
"""Streams that the rows of one task may name: each has threads of its own."""


def find_target(api: RecordApi, stream: StreamSettings) -> Target:
    """Ask what a stream takes, and how its shards lie; who may only put does without."""
    try:
        description = api.describe(stream)
        return Target(stream, ShardMap(api.list_shards(stream)), description.most_record_bytes)
    except AccessDeniedError as error:
        # PutRecords alone is enough to write.
        _log.warning(
            "%s Writing goes on without knowing shards and limits: nothing is packed by shard"
            " (aggregate), and each shard's pace is found out.",
            error,
        )
        return Target(stream, ShardMap())


def write_records(
    api: RecordApi,
    records: Iterable[tuple[str | None, OutRecord]],
    targets: Mapping[str, Target],
    default: str,
    settings: WriteSettings,
    budget_s: float,
) -> WriteCounts:
    """Write records, and wait until AWS has taken all of them.

    Parameters
    ----------
    api : RecordApi
    records : iterable of (stream name or None, OutRecord)
    targets : mapping of stream's key to Target
        As the driver found them.
    default : str
        Key of the stream for records that name none.
    settings : WriteSettings
    budget_s : float
        See StreamWriter.

    Raises
    ------
    RecordError
        A row that cannot be written.
    KinesisSourceError
    """
    writers: dict[str, StreamWriter] = {}
    try:
        for key, chunk in _chunks(records, default):
            if key not in writers:
                writers[key] = _writer(api, key, targets, settings, budget_s, len(writers))
            writers[key].add(chunk)
        counts = WriteCounts()
        for writer in writers.values():
            writer.flush()
            counts.add(writer.counts)
        return counts
    finally:
        for writer in writers.values():
            writer.close()


def _chunks(
    records: Iterable[tuple[str | None, OutRecord]], default: str
) -> Iterator[tuple[str, list[OutRecord]]]:
    """Yield records that follow each other into one stream, not many and not much at a time."""
    chunk: list[OutRecord] = []
    size_bytes, key = 0, default
    for name, record in records:
        own = name if name is not None else default
        if chunk and (own != key or len(chunk) >= CHUNK_RECORDS or size_bytes >= CHUNK_BYTES):
            yield key, chunk
            chunk, size_bytes = [], 0
        key = own
        chunk.append(record)
        size_bytes += len(record.data)
    if chunk:
        yield key, chunk


def _writer(
    api: RecordApi,
    key: str,
    targets: Mapping[str, Target],
    settings: WriteSettings,
    budget_s: float,
    known: int,
) -> StreamWriter:
    if known >= MOST_STREAMS:
        raise RecordError(
            "RECORD_STREAM",
            f"The rows of one task name more than {MOST_STREAMS} streams, the last one"
            f" {key[:80]!r}.",
            "Repartition by streamName, or write in several queries.",
        )
    if not key:
        raise RecordError(
            "RECORD_STREAM",
            "A row has an empty streamName.",
            "Write a stream's name, or null for the option's stream.",
        )
    target = targets.get(key) or find_target(api, StreamSettings.from_key(key))
    return StreamWriter(api, target, settings, budget_s)
