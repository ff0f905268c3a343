"""Places that a person names for shards of a checkpoint, and the offset that they make.

Pure. A place is written ``SHARD=PLACE``, where PLACE is

- ``at:2026-01-02T03:04:05Z``: the first record that arrived then or later;
- ``after:SEQUENCE_NUMBER@2026-01-02T03:04:05Z``: behind a record that was read, with its arrival
  time (column ``approximateArrivalTimestamp``);
- ``trim_horizon``: the oldest record; ``end``: all of a closed shard was read.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from kinesis_source.errors import OffsetError
from kinesis_source.model.offsets import StreamOffset
from kinesis_source.model.positions import (
    END,
    AfterRecord,
    OldestSince,
    Position,
)
from kinesis_source.options.start import read_timestamp
from kinesis_source.options.values import BadValueError

__all__ = ["changed", "read_place"]

_FORM = (
    "Write SHARD=at:TIME, SHARD=after:SEQUENCE_NUMBER@ARRIVAL_TIME, SHARD=trim_horizon or"
    " SHARD=end."
)


def read_place(text: str) -> tuple[str, Position]:
    """Read ``SHARD=PLACE``.

    Raises
    ------
    OffsetError
        ``[OFFSET_PLACE]``
    """
    shard_id, _, place = text.partition("=")
    kind, _, rest = place.partition(":")
    try:
        if shard_id and place == "trim_horizon":
            return shard_id, OldestSince(_now_ms())
        if shard_id and place == "end":
            return shard_id, END
        if shard_id and kind == "at":
            moment = read_timestamp(rest.strip())
            if moment.epoch_ms > _now_ms():
                raise OffsetError(
                    "OFFSET_PLACE", f"{text!r} lies in the future.", "Give a time of the past."
                )
            return shard_id, replace(moment, whole_ms=_now_ms())
        if shard_id and kind == "after":
            number, _, arrival = rest.partition("@")
            return shard_id, AfterRecord(number.strip(), read_timestamp(arrival.strip()).epoch_ms)
    except BadValueError as error:
        hint = "Write a time such as 2026-01-02T03:04:05Z."
        raise OffsetError("OFFSET_PLACE", f"{text!r} {error.problem}", hint) from None
    raise OffsetError("OFFSET_PLACE", f"{text!r} is no place of a shard.", _FORM)


def changed(
    sources: Mapping[int, StreamOffset], places: Iterable[tuple[str, Position]]
) -> dict[int, StreamOffset]:
    """Return the offsets with other positions in some shards.

    Raises
    ------
    OffsetError
        ``[OFFSET_PLACE]`` for a shard that no stream of the offsets has, or several have; for one
        that was read to its end.
    """
    found = {
        # What belongs to the batch that ended here is of no use to the next one.
        number: replace(offset, start=None, is_initial=False, begins={})
        for number, offset in sources.items()
    }
    named: set[str] = set()
    for shard_id, position in places:
        if shard_id in named:
            raise OffsetError("OFFSET_PLACE", f"{shard_id!r} is given two places.", "Give it one.")
        named.add(shard_id)
        at = [
            (number, key)
            for number, offset in found.items()
            for key, stream in offset.streams.items()
            if shard_id in stream.shards
        ]
        if len(at) != 1:
            known = sorted(
                {s for o in found.values() for st in o.streams.values() for s in st.shards}
            )
            raise OffsetError(
                "OFFSET_PLACE",
                f"{len(at)} streams of the checkpoint have a shard {shard_id!r}; it has "
                f"{', '.join(known[:10])}{' and more' if len(known) > 10 else ''}.",
                "Only shards that the query is reading can be moved: those that it has finished"
                " are not in the checkpoint, and their children would be read twice.",
            )
        ((number, key),) = at
        stream = found[number].streams[key]
        shards = {**stream.shards, shard_id: position}
        streams = {**found[number].streams, key: replace(stream, shards=shards)}
        found[number] = replace(found[number], streams=streams)
    return found


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
