"""A bounded read's plan, on the driver: what ``spark.read`` reads between two fixed ends.

Plans as a stream does whose run ends (AvailableNow), one batch after the other, and takes all of
them together: there is no second way of finding how far a shard goes. In: settings, and what the
filters leave. Out: the ranges of each task, parents before children, each shard's parts in order.

The end is a moment of AWS's clock. ``latest`` is the moment of ``load()``, so two actions on one
DataFrame read the same rows, however much later the second one is planned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from kinesis_source.aws.api import PositionRefusedError, StreamApi, StreamDescription
from kinesis_source.errors import OptionError
from kinesis_source.model.positions import (
    END,
    TRIM_HORIZON,
    AfterRecord,
    AtTimestamp,
    FromRecord,
    is_ahead,
)
from kinesis_source.model.ranges import ShardRange
from kinesis_source.model.shards import Lineage
from kinesis_source.options.settings import (
    LATEST,
    BoundedSettings,
    InitialPosition,
    NumberedRecord,
    ReadSettings,
    ShardStarts,
    StreamSettings,
    StreamStarts,
)
from kinesis_source.plan.batch_rules import group_ranges, plan_ranges
from kinesis_source.plan.micro_batches import MicroBatchPlanner
from kinesis_source.plan.named_starts import find_record
from kinesis_source.plan.runtime import Runtime
from kinesis_source.plan.seams import split_ranges
from kinesis_source.plan.selection import EVERYTHING, Selection

__all__ = ["plan_bounded"]

FILTER_MARGIN_MS: Final = 5_000
"""AWS calls arrival times approximate, and promises no order: what a filter on them leaves out is
left out only where it is this far away."""
SMALLEST_SKEW_MS: Final = 1_500
"""The Date header has whole seconds, and a reply takes its time: what is less is no skew."""
Tasks = list[tuple[ShardRange, ...]]


def plan_bounded(
    api: StreamApi,
    read: ReadSettings,
    bounded: BoundedSettings,
    check_access: Callable[[StreamSettings], StreamDescription],
    *,
    selection: Selection = EVERYTHING,
    runtime: Runtime | None = None,
    failing_budget_s: float = 120.0,
) -> Tasks:
    """Plan a bounded read.

    Parameters
    ----------
    api : StreamApi
    read : ReadSettings
    bounded : BoundedSettings
    check_access, runtime, failing_budget_s
        See MicroBatchPlanner.
    selection : Selection

    Returns
    -------
    list of tuple of ShardRange
        What each task reads; empty if nothing is there.

    Raises
    ------
    OptionError
        ``[OPTION_CONFLICT]`` for a start that no record can be behind; ``[OPTION_VALUE]`` for an
        end that is no record of its shard.
    KinesisSourceError
        As a query's planning.
    """
    _expect_a_start(bounded)
    if selection.is_empty:
        return []
    streams = tuple(
        stream
        for stream in read.streams
        if selection.streams is None or stream.key in selection.streams
    )
    if not streams:
        return []
    start = _narrowed_start(bounded.start, selection.since_ms)
    settings = replace(read, streams=streams, initial_position=start)
    for stream in streams:
        check_access(stream)
    target_ms = _target_ms(api, read, bounded, selection.until_ms)
    planner = MicroBatchPlanner(
        api, settings, check_access, runtime=runtime, failing_budget_s=failing_budget_s
    )
    try:
        waves = _waves(planner, target_ms)
        cut = _Cut(api, {stream.key: stream for stream in streams}, planner, bounded, selection)
        waves = [cut.apply(wave) for wave in waves]
    finally:
        planner.close()
    parts = split_ranges(api, {s.key: s for s in streams}, waves, bounded.min_partitions, target_ms)
    shards_per_task = _shards_per_task(read, bounded, sum(map(len, parts)))
    return [task for wave in parts for task in group_ranges(wave, shards_per_task)]


def _expect_a_start(bounded: BoundedSettings) -> None:
    if bounded.start is LATEST:
        raise OptionError(
            "OPTION_CONFLICT",
            "Option 'initialPosition' is 'latest', and spark.read ends there: nothing would be "
            "read.",
            "Write 'trim_horizon', the default of spark.read, or a time; or use spark.readStream.",
        )
    start, end = bounded.start, bounded.end
    if isinstance(start, StreamStarts):
        for name, place in start.streams:
            if place is LATEST:
                raise OptionError(
                    "OPTION_CONFLICT",
                    f"Option 'startingPosition' is 'latest' for stream {name!r}, and spark.read "
                    "ends there: nothing of it would be read.",
                    "Write 'trim_horizon', a time or places of shards; or leave the stream out.",
                )
    if (
        isinstance(start, AtTimestamp)
        and isinstance(end, AtTimestamp)
        and start.epoch_ms >= end.epoch_ms
    ):
        raise OptionError(
            "OPTION_CONFLICT",
            "Option 'endingPosition' does not lie behind 'initialPosition': nothing would be read.",
            "Write a later end.",
        )


def _narrowed_start(start: InitialPosition, since_ms: int | None) -> InitialPosition:
    """Return a later start where a filter allows it; places of shards stay."""
    if since_ms is None or since_ms <= FILTER_MARGIN_MS:
        return start
    since = AtTimestamp(since_ms - FILTER_MARGIN_MS)
    if start is TRIM_HORIZON:
        return since
    if isinstance(start, AtTimestamp) and start.epoch_ms < since.epoch_ms:
        return since
    return start


def _target_ms(
    api: StreamApi, read: ReadSettings, bounded: BoundedSettings, until_ms: int | None
) -> int:
    """Return until when records count, inclusive, by AWS's clock."""
    aws_ms = api.now_ms()
    wall_ms = time.time_ns() // 1_000_000
    skew_ms = aws_ms + SMALLEST_SKEW_MS // 3 - wall_ms
    if abs(skew_ms) < SMALLEST_SKEW_MS:
        skew_ms = 0
    target_ms = (wall_ms if read.loaded_ms is None else read.loaded_ms) + skew_ms
    if isinstance(bounded.end, AtTimestamp):
        target_ms = min(target_ms, bounded.end.epoch_ms - 1)
    if until_ms is not None:
        target_ms = min(target_ms, until_ms + FILTER_MARGIN_MS)
    return target_ms


def _waves(planner: MicroBatchPlanner, target_ms: int) -> list[list[ShardRange]]:
    """Return what a run that ends at a moment would read, batch by batch."""
    planner.fix_target(target_ms)
    start = planner.initial_offset()
    waves: list[list[ShardRange]] = []
    places: dict[tuple[str, str], tuple[int, int]] = {}
    while True:
        end = planner.next_offset(start, to_the_tip=True)
        if end is start:
            return waves
        waves.append([])
        for found in plan_ranges(start, end, planner.hints()):
            key = found.stream, found.shard_id
            if key in places:  # a shard goes on where the batch before left it
                wave, index = places[key]
                waves[wave][index] = replace(waves[wave][index], end=found.end)
            else:
                places[key] = len(waves) - 1, len(waves[-1])
                waves[-1].append(found)
        start = end


class _Cut:
    """Leaves out what lies behind ends that are named, or is not wanted."""

    def __init__(
        self,
        api: StreamApi,
        streams: Mapping[str, StreamSettings],
        planner: MicroBatchPlanner,
        bounded: BoundedSettings,
        selection: Selection,
    ) -> None:
        self._api = api
        self._streams = streams
        self._lineages = planner.lineages()
        self._selection = selection
        self._ends = {key: _named_ends(bounded, stream) for key, stream in streams.items()}
        for key, ends in self._ends.items():
            _expect_listed(key, ends, self._lineages.get(key))
        self._found: dict[tuple[str, str, str], AfterRecord | None] = {}

    def apply(self, wave: list[ShardRange]) -> list[ShardRange]:
        kept = self._selection.of_ranges(wave)
        ended = [one for one in map(self._to_its_end, kept) if one is not None]
        return [one for one in map(self._to_numbers, ended) if one is not None]

    def _to_its_end(self, shard_range: ShardRange) -> ShardRange | None:
        ends, lineage = self._ends[shard_range.stream], self._lineages[shard_range.stream]
        shard_id = shard_range.shard_id
        if shard_id not in ends:
            # What comes behind a place that is an end is not read, children included.
            ended = {name for name, number in ends.items() if number is not None}
            return None if lineage.ancestors([shard_id]) & ended else shard_range
        number = ends[shard_id]
        if number is None:
            return shard_range
        record = self._record(shard_range, number)
        if record is None or record.sequence_number != number:
            raise OptionError(
                "OPTION_VALUE",
                f"Option 'endingPosition' names sequence number {number} in shard {shard_id!r} of "
                f"stream {shard_range.stream!r}, which AWS does not have there.",
                "Name a record of that very shard that is younger than the retention.",
            )
        return _up_to(shard_range, record)

    def _to_numbers(self, shard_range: ShardRange) -> ShardRange | None:
        """Narrow a range to sequence numbers, where those are records of its shard."""
        first, last = self._selection.first_number, self._selection.last_number
        found: ShardRange | None = shard_range
        if last is not None:
            record = self._record(shard_range, last)
            if record is not None and record.sequence_number == last:
                found = _up_to(shard_range, record)
            elif first == last:
                return None  # one record is wanted, and it is not in this shard
        if first is not None and found is not None:
            record = self._record(found, first)
            if record is not None and record.sequence_number == first:
                found = _with(found, record)
        return found

    def _record(self, shard_range: ShardRange, number: str) -> AfterRecord | None:
        """Return the record with a number, or the first behind it; None: not of this shard."""
        key = shard_range.stream, shard_range.shard_id, number
        if key not in self._found:
            stream = self._streams[shard_range.stream]
            try:
                self._found[key] = find_record(self._api, stream, shard_range.shard_id, number)
            except PositionRefusedError:
                self._found[key] = None
        return self._found[key]


def _expect_listed(key: str, ends: Mapping[str, str | None], lineage: Lineage | None) -> None:
    for shard_id in sorted(ends.keys() - (lineage.shards.keys() if lineage else set())):
        raise OptionError(
            "OPTION_VALUE",
            f"Option 'endingPosition' names shard {shard_id!r}, which stream {key!r} does not"
            " have.",
            "Name shards that are listed; others are read to the moment of load().",
        )


def _named_ends(bounded: BoundedSettings, stream: StreamSettings) -> dict[str, str | None]:
    """Return the last record's number of each shard that is named; None: it has no end."""
    place = bounded.end.of(stream) if isinstance(bounded.end, StreamStarts) else None
    if not isinstance(place, ShardStarts):
        return {}
    return {
        shard_id: end.sequence_number if isinstance(end, NumberedRecord) else None
        for shard_id, end in place.shards
    }


def _up_to(shard_range: ShardRange, record: AfterRecord) -> ShardRange | None:
    """Return a range that ends with a record, or before; None: it begins behind it."""
    start = shard_range.start
    if isinstance(start, AfterRecord) and not is_ahead(record, start):
        return None
    if isinstance(start, FromRecord) and int(record.sequence_number) < int(start.sequence_number):
        return None
    if shard_range.end == END or is_ahead(shard_range.end, record):
        return replace(shard_range, end=record)
    return shard_range


def _with(shard_range: ShardRange, record: AfterRecord) -> ShardRange | None:
    """Return a range that begins with a record, or behind; None: it ends before."""
    end, start = shard_range.end, shard_range.start
    if isinstance(end, AfterRecord) and is_ahead(record, end):
        return None
    if isinstance(start, AfterRecord | FromRecord) and int(start.sequence_number) >= int(
        record.sequence_number
    ):
        return shard_range
    return replace(shard_range, start=FromRecord(record.sequence_number, record.arrival_ms))


def _shards_per_task(read: ReadSettings, bounded: BoundedSettings, ranges: int) -> int:
    if bounded.min_partitions is None:
        return read.shards_per_task
    return max(1, min(read.shards_per_task, ranges // bounded.min_partitions))
