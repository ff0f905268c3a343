"""The stream's writer on Spark 4.1 and later, where it gets Arrow batches. See spark/sink.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyspark.sql.datasource import DataSourceStreamArrowWriter, WriterCommitMessage

from kinesis_source.spark.sink import StreamSink

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["KinesisStreamWriter"]


class KinesisStreamWriter(StreamSink, DataSourceStreamArrowWriter):
    """Writes a stream."""

    def write(self, iterator: Iterator[pa.RecordBatch]) -> WriterCommitMessage:
        """Write one task's rows."""
        return self._write(iterator)
