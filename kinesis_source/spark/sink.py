"""Spark's writing protocols over the task's writer; no decisions of their own.

A writer is made in a driver-side worker: once for a batch, anew for each micro-batch of a stream.
There it looks at the stream once, and its pickled copies write in the tasks. ``commit`` and
``abort`` run in a driver-side worker again, for a stream on an instance made anew: what they need
comes in the tasks' messages.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import datasource
from pyspark.sql.datasource import (
    DataSourceArrowWriter,
    DataSourceStreamWriter,
    WriterCommitMessage,
)

from kinesis_source.options.settings import SourceSettings
from kinesis_source.spark.importable import expect_dependencies, reduce_portably
from kinesis_source.write.rows import InputColumns
from kinesis_source.write.stream_writer import Target, WriteCounts
from kinesis_source.write.task_writer import find_target, write_records

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["KinesisBatchWriter", "StreamSink", "stream_writer"]

logger = logging.getLogger("kinesis_source")


@dataclass
class Written(WriterCommitMessage):
    """What one task wrote.

    Parameters
    ----------
    counts : WriteCounts
    """

    counts: WriteCounts


class _Sink:
    """What writers of batches and of streams have in common.

    Parameters
    ----------
    settings : SourceSettings
    columns : InputColumns
    """

    def __init__(self, settings: SourceSettings, columns: InputColumns) -> None:
        self._settings = settings
        self._columns = columns
        self._targets = _targets(settings)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return reduce_portably(_restore, (type(self), self.__dict__))

    def _write(self, batches: Iterator[pa.RecordBatch]) -> Written:
        from kinesis_source.aws.routing import source_api
        from kinesis_source.write.rows import records_of

        counts = write_records(
            source_api(self._settings),
            records_of(batches, self._columns),
            self._targets,
            self._settings.read.streams[0].key,
            self._settings.write,
            self._settings.client.retry_budget_ms / 1000,
        )
        return Written(counts)

    def _say(self, messages: list[Any], what: str) -> None:
        total = WriteCounts()
        for message in messages:
            if isinstance(message, Written):
                total.add(message.counts)
        logger.info(
            "%s: %d rows in %d records (%d bytes) of %d tasks, %d PutRecords, %d times a record was"
            " rejected and sent again",
            what,
            total.rows,
            total.records,
            total.size_bytes,
            len(messages),
            total.requests,
            total.rejected,
        )

    def _say_aborted(self, messages: list[Any], what: str) -> None:
        ended = [message for message in messages if isinstance(message, Written)]
        rows = sum(message.counts.rows for message in ended)
        logger.warning(
            "%s failed. %d rows of the %d tasks that had ended well are in the stream, and what the"
            " other %d tasks had sent until then: nothing is taken back. Whoever runs it again"
            " writes them again.",
            what,
            rows,
            len(ended),
            len(messages) - len(ended),
        )


def _targets(settings: SourceSettings) -> Mapping[str, Target]:
    """Look at the stream once, for all tasks."""
    from kinesis_source.aws.routing import source_api

    api, stream = source_api(settings), settings.read.streams[0]
    return {stream.key: find_target(api, stream)}


def _restore(cls: type[_Sink], state: dict[str, Any]) -> _Sink:
    expect_dependencies()
    sink = cls.__new__(cls)
    sink.__dict__.update(state)
    return sink


class KinesisBatchWriter(_Sink, DataSourceArrowWriter):
    """Writes a batch."""

    def write(self, iterator: Iterator[pa.RecordBatch]) -> WriterCommitMessage:
        """Write one task's rows."""
        return self._write(iterator)

    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        """Say what was written."""
        self._say(messages, "Batch written")

    def abort(self, messages: list[WriterCommitMessage | None]) -> None:
        """Say what may have been written."""
        self._say_aborted(messages, "The write")


class StreamSink(_Sink):
    """What writers of streams have in common."""

    def commit(self, messages: list[WriterCommitMessage | None], batchId: int) -> None:  # noqa: N803 - Spark's name
        """Say what was written."""
        self._say(messages, f"Micro-batch {batchId} written")

    def abort(self, messages: list[WriterCommitMessage | None], batchId: int) -> None:  # noqa: N803 - Spark's name
        """Say what may have been written."""
        self._say_aborted(messages, f"Micro-batch {batchId}")


class KinesisRowStreamWriter(StreamSink, DataSourceStreamWriter):
    """Writes a stream on Spark 4.0."""

    def write(self, iterator: Iterator[Any]) -> WriterCommitMessage:
        """Write one task's rows."""
        from kinesis_source.write.rows import batches_of_rows

        return self._write(batches_of_rows(iterator, self._columns))


def stream_writer(settings: SourceSettings, columns: InputColumns) -> DataSourceStreamWriter:
    """Return the writer of a streaming query, as this Spark has them."""
    if not hasattr(datasource, "DataSourceStreamArrowWriter"):  # Spark 4.0 hands over rows
        return KinesisRowStreamWriter(settings, columns)
    from kinesis_source.spark.arrow_sink import KinesisStreamWriter

    return KinesisStreamWriter(settings, columns)
