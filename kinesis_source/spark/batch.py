"""Spark's batch protocol over the bounded plan and the reader; no decisions of its own.

``KinesisBatchReader`` is made in a driver-side worker, once for each plan: it plans there, in
:meth:`partitions`, and its pickled copy reads in the tasks. Where Spark pushes filters down (4.1
and later, with ``spark.sql.python.filterPushdown.enabled``) it is a
:class:`FilteringBatchReader`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from pyspark.sql.datasource import DataSourceReader, InputPartition

from kinesis_source.options.settings import SourceSettings
from kinesis_source.plan.selection import EVERYTHING, Selection
from kinesis_source.records.schema import OutputColumn
from kinesis_source.spark.importable import expect_dependencies, reduce_portably
from kinesis_source.spark.stream import KinesisInputPartition

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FilteringBatchReader", "KinesisBatchReader", "batch_reader"]

_PUSHES_FILTERS: Final = "pyspark.sql.worker.data_source_pushdown_filters"


def batch_reader(settings: SourceSettings, columns: tuple[OutputColumn, ...]) -> KinesisBatchReader:
    """Return the reader of a batch query; with filters where the user wants that, and Spark can.

    Only on demand: Spark 4.3.0 keeps what a filtered query's plan had left, and gives it to the
    next query on the same DataFrame that pushes no filter. Spark fails every query whose reader
    has ``pushFilters`` while its setting is off, filters or not (4.3.0, plan_data_source_read).
    With it on, filters are pushed by a worker of another module than the one that plans without:
    there, and only there, nobody objects.
    """
    if not settings.bounded.pushes_filters:
        return KinesisBatchReader(settings, columns)
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    is_pushing = _PUSHES_FILTERS in sys.modules or getattr(main, "name", "") == _PUSHES_FILTERS
    return (FilteringBatchReader if is_pushing else KinesisBatchReader)(settings, columns)


def _restore(cls: type[KinesisBatchReader], state: dict[str, Any]) -> KinesisBatchReader:
    expect_dependencies()
    reader = cls.__new__(cls)
    reader.__dict__.update(state)
    return reader


class KinesisBatchReader(DataSourceReader):
    """Reads streams between two ends.

    Parameters
    ----------
    settings : SourceSettings
    columns : tuple of OutputColumn
        What Spark asked for.
    """

    def __init__(self, settings: SourceSettings, columns: tuple[OutputColumn, ...]) -> None:
        self._settings = settings
        self._columns = columns
        self._selection: Selection = EVERYTHING

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Tasks plan nothing: with one class, they need no pushFilters either.
        return reduce_portably(_restore, (KinesisBatchReader, self.__dict__))

    def partitions(self) -> list[InputPartition]:
        """Plan: ask AWS how far the shards go, and deal ranges to tasks."""
        from kinesis_source.aws.access import check_access
        from kinesis_source.aws.routing import source_api
        from kinesis_source.plan.bounded import plan_bounded

        api = source_api(self._settings)
        tasks = plan_bounded(
            api,
            self._settings.read,
            self._settings.bounded,
            lambda stream: check_access(api, stream),
            selection=self._selection,
            failing_budget_s=self._settings.client.retry_budget_ms / 1000,
        )
        return [KinesisInputPartition(task) for task in tasks]

    def read(self, partition: InputPartition | None) -> Iterator[pa.RecordBatch]:
        """Read one task's ranges. For an empty list of partitions Spark makes one of its own."""
        if not isinstance(partition, KinesisInputPartition):
            return iter(())
        from kinesis_source.aws.routing import source_api
        from kinesis_source.read.task import read_ranges

        return read_ranges(
            source_api(self._settings),
            partition.ranges,
            self._columns,
            self._settings.read,
        )


class FilteringBatchReader(KinesisBatchReader):
    """The same, and spares reading what filters leave out anyway."""

    def pushFilters(self, filters: list[Any]) -> Iterable[Any]:  # noqa: N802 - Spark's name
        """Take note of filters; all are Spark's to evaluate, too."""
        from kinesis_source.spark.filters import selection_of

        self._selection = selection_of(filters)
        return filters
