"""Spark's stream protocol over the planner and the reader; no decisions of its own.

``KinesisStreamReader`` lives twice: in the driver's planning process, where it holds the query's
state, and as a pickled copy in every task, where only :meth:`read` is called. What a task needs
travels in its partition. Works with both protocols: Spark 4.0 and 4.1 call ``latestOffset()`` with
nothing, 4.2 and later with the start offset and a read limit.

Each of the two processes imports its own room, when it is first asked: planning needs no Arrow,
tasks need no planner.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyspark
from pyspark.sql.datasource import DataSourceStreamReader, InputPartition

from kinesis_source.errors import OptionError
from kinesis_source.model.offsets import StreamOffset
from kinesis_source.model.ranges import ShardRange
from kinesis_source.options.settings import SourceSettings
from kinesis_source.records.schema import OutputColumn
from kinesis_source.spark.importable import expect_dependencies, reduce_portably

if TYPE_CHECKING:
    import pyarrow as pa

    from kinesis_source.plan.micro_batches import MicroBatchPlanner

__all__ = ["KinesisInputPartition", "KinesisStreamReader"]

try:  # Spark 4.2 and later
    from pyspark.sql.streaming.datasource import (
        ReadAllAvailable,
        ReadMaxBytes,
        SupportsTriggerAvailableNow,
    )

    _HAS_ADMISSION_CONTROL = True
except ImportError:  # Spark 4.0 and 4.1
    _HAS_ADMISSION_CONTROL = False

    class SupportsTriggerAvailableNow:  # type: ignore[no-redef]
        """Stands where Spark knows no triggers."""


logger = logging.getLogger(__name__)

_UNLIMITED_BYTES = 2**63 - 1


@dataclass(frozen=True)
class KinesisInputPartition(InputPartition):
    """What one task reads. Spark prints its repr.

    Parameters
    ----------
    ranges : tuple of ShardRange
    """

    ranges: tuple[ShardRange, ...]


def _restore(cls: type[KinesisStreamReader], state: dict[str, Any]) -> KinesisStreamReader:
    expect_dependencies()
    reader = cls.__new__(cls)
    reader.__dict__.update(state)
    return reader


class KinesisStreamReader(DataSourceStreamReader, SupportsTriggerAvailableNow):
    """Reads streams for one query.

    Parameters
    ----------
    settings : SourceSettings
    columns : tuple of OutputColumn
        What Spark asked for.
    schema_error : OptionError or None
        A wrong ``.schema(...)``. Raised by the first call of the query: what ``streamReader()``
        raises reaches the user only as an UnboundLocalError (Spark 4.3.0, worker source).
    """

    def __init__(
        self,
        settings: SourceSettings,
        columns: tuple[OutputColumn, ...],
        schema_error: OptionError | None = None,
    ) -> None:
        self._settings = settings
        self._columns = columns
        self._schema_error = schema_error
        self._planner: MicroBatchPlanner | None = None
        self._current: StreamOffset | None = None
        self._is_first_look = True

    def __getstate__(self) -> dict[str, Any]:
        """Tasks get the settings, not the planning state."""
        return {**self.__dict__, "_planner": None, "_current": None}

    def __reduce_ex__(self, protocol: Any) -> Any:
        return reduce_portably(_restore, (type(self), self.__getstate__()))

    # On the driver

    def prepareForTriggerAvailableNow(self) -> None:  # noqa: N802 - Spark's name
        """Fix what the run reads. Spark 4.2+ calls it first, on every start of such a run."""
        self._planning().fix_target()

    def getDefaultReadLimit(self) -> Any:  # noqa: N802 - Spark's name
        """Return a limit without effect.

        Anything but ReadAllAvailable: Trigger.Once passes that one whatever is returned here, and
        only then must a single batch hold all there is.
        """
        return ReadMaxBytes(_UNLIMITED_BYTES)

    def initialOffset(self) -> dict[str, Any]:  # noqa: N802 - Spark's name
        """Return where the query starts; see model/offsets.py for why it is asked again."""
        return self._planning().initial_offset().to_json()

    def latestOffset(  # noqa: N802 - Spark's name
        self, start: dict[str, Any] | None = None, limit: Any = None
    ) -> dict[str, Any]:
        """Return where the next batch ends; the start's own dict if nothing is new.

        Parameters
        ----------
        start : dict, optional
            Spark 4.2+: the end of the batch before.
        limit : ReadLimit, optional
            Spark 4.2+.
        """
        planner = self._planning()
        if start is None:
            return self._next_without_start(planner)
        offset = StreamOffset.from_json(start)
        to_the_tip = _HAS_ADMISSION_CONTROL and isinstance(limit, ReadAllAvailable)
        end = planner.next_offset(offset, to_the_tip=to_the_tip)
        return start if end is offset else end.to_json()

    def _next_without_start(self, planner: MicroBatchPlanner) -> dict[str, Any]:
        # The old protocol hides the trigger. Once and AvailableNow are one batch there, which must
        # hold what is available, unless the user gave a limit; so the first call of every run
        # looks for the tip, or for the limit.
        start = self._current or planner.initial_offset()
        read = self._settings.read
        is_limited = (read.max_records_per_trigger or read.max_bytes_per_trigger) is not None
        if self._is_first_look and is_limited:
            logger.warning(
                "maxRecordsPerTrigger and maxBytesPerTrigger bound every batch: on Spark %s a run "
                "with the trigger availableNow or once is one batch, and reads no more than that. "
                "What it leaves is read by the next run.",
                pyspark.__version__,
            )
        to_the_tip = self._is_first_look and not is_limited
        self._current = planner.next_offset(start, to_the_tip=to_the_tip)
        self._is_first_look = False
        return self._current.to_json()

    def reportLatestOffset(self) -> dict[str, Any] | None:  # noqa: N802 - Spark's name
        """Return numbers that Spark shows as ``sources[0].latestOffset`` in its progress."""
        return self._planner.metrics() if self._planner else None

    def partitions(self, start: dict[str, Any], end: dict[str, Any]) -> list[InputPartition]:
        """Return what the tasks of a batch read: a function of its two offsets."""
        if self._schema_error is not None:
            raise self._schema_error
        from kinesis_source.plan.batch_rules import group_ranges, plan_ranges

        first, last = StreamOffset.from_json(start), StreamOffset.from_json(end)
        self._current = last  # Spark 4.0 tells a restarted query its checkpoint only here
        hints = self._planner.hints() if self._planner else None
        groups = group_ranges(plan_ranges(first, last, hints), self._settings.read.shards_per_task)
        return [KinesisInputPartition(group) for group in groups]

    def commit(self, end: dict[str, Any]) -> None:
        """Nothing to do: the checkpoint is Spark's."""

    def stop(self) -> None:
        """Spark does not promise to call this."""
        if self._planner is not None:
            self._planner.close()

    def _planning(self) -> MicroBatchPlanner:
        if self._schema_error is not None:
            raise self._schema_error
        if self._planner is None:
            from kinesis_source.aws.access import check_access
            from kinesis_source.aws.routing import source_api
            from kinesis_source.plan.micro_batches import MicroBatchPlanner

            api = source_api(self._settings)
            self._planner = MicroBatchPlanner(
                api,
                self._settings.read,
                lambda stream: check_access(api, stream),
                failing_budget_s=self._settings.client.retry_budget_ms / 1000,
            )
        return self._planner

    # On the executors

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Read one task's ranges; may be called again for the same partition."""
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
