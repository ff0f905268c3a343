"""A look into a stream: how much comes, how old the newest is, and a few records for the eye.

Takes a few GetRecords calls of some shards: the limits of 5 calls and 2 MB a second and shard are
shared with everybody else who polls them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from kinesis_source.aws.api import Page, StreamApi
from kinesis_source.cursor.naming import name_time
from kinesis_source.diagnosis.findings import ShownRecord, StreamSample
from kinesis_source.model.positions import TRIM_HORIZON, AtTimestamp, Position
from kinesis_source.model.shards import Shard
from kinesis_source.options.settings import StreamSettings
from kinesis_source.records.kpl import AggregateError, open_aggregate
from kinesis_source.records.lines import cut
from kinesis_source.records.readable import read_data

__all__ = ["show_records", "take_sample"]

_WINDOW_MS: Final = 60_000
_SHARDS: Final = 8
_PAGES: Final = 3
_LIMIT: Final = 500
_TEXT_CHARACTERS: Final = 400
_UserRecord = tuple[str, str, bytes]
"""What it is of an aggregate, its partition key, its data."""


@dataclass(slots=True)
class _Seen:
    """What one shard gave."""

    records: int = 0
    data_bytes: int = 0
    first_ms: int = 0
    last_ms: int = 0
    is_caught_up: bool = False
    shown: list[ShownRecord] = field(default_factory=list)

    def rate_per_ms(self, amount: int) -> float:
        span_ms = _WINDOW_MS if self.is_caught_up else max(1_000, self.last_ms - self.first_ms)
        return amount / span_ms


def take_sample(api: StreamApi, stream: StreamSettings, shown: int = 3) -> StreamSample:
    """Look at what came within the last minute, and at what is there if nothing did.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    shown : int
        Records to show at most.
    """
    shards = api.list_shards(stream)
    open_shards = [shard for shard in shards if not shard.is_closed]
    now_ms = api.now_ms()
    looked_at = open_shards[:_SHARDS]
    start = AtTimestamp(now_ms - _WINDOW_MS)
    seen = [_look(api, stream, shard, start, shown) for shard in looked_at]
    records = [record for one in seen for record in one.shown]
    newest_ms = max((one.last_ms for one in seen), default=0)
    if not newest_ms:
        older = [_look(api, stream, shard, TRIM_HORIZON, shown) for shard in looked_at[:_PAGES]]
        records = [record for one in older for record in one.shown]
        newest_ms = max((one.last_ms for one in older), default=0)
    return StreamSample(
        stream=stream.key,
        open_shards=len(open_shards),
        closed_shards=len(shards) - len(open_shards),
        looked_at=len(looked_at),
        records_per_s=1000 * sum(one.rate_per_ms(one.records) for one in seen),
        bytes_per_s=1000 * sum(one.rate_per_ms(one.data_bytes) for one in seen),
        newest_age_s=max(0.0, (now_ms - newest_ms) / 1000) if newest_ms else None,
        records_shown=tuple(map(_short, sorted(records, key=lambda one: one.arrived)[-shown:])),
    )


def _look(
    api: StreamApi, stream: StreamSettings, shard: Shard, start: Position, shown: int
) -> _Seen:
    seen = _Seen()
    iterator: str | None = api.get_iterator(stream, shard.shard_id, start)
    for _ in range(_PAGES):
        if iterator is None:
            break
        page = api.get_page(stream, shard.shard_id, iterator, _LIMIT)
        if len(page):
            seen.first_ms = seen.first_ms or page.arrival_ms[0]
            seen.last_ms = max(seen.last_ms, page.arrival_ms[-1])
            seen.records += len(page)
            seen.data_bytes += page.data_bytes
            seen.shown = show_records(shard.shard_id, page, shown)
        if page.millis_behind_latest == 0:
            seen.is_caught_up = True
            break
        iterator = page.next_iterator
    return seen


def _short(record: ShownRecord) -> ShownRecord:
    return replace(record, text=cut(record.text, _TEXT_CHARACTERS))


def show_records(shard_id: str, page: Page, most: int | None = None) -> list[ShownRecord]:
    """Return the records of a page as a person reads them, user records apart.

    Parameters
    ----------
    shard_id : str
    page : Page
    most : int or None
        Only so many, the last ones; None: all.
    """
    found: list[ShownRecord] = []
    for at in range(len(page))[_last(most)]:
        for kind, key, data in _user_records(bytes(page.data[at]), page.partition_keys[at], most):
            readable = read_data(data)
            found.append(
                ShownRecord(
                    shard_id,
                    key,
                    page.sequence_numbers[at],
                    name_time(page.arrival_ms[at]),
                    f"{kind}{readable.kind}",
                    readable.text,
                )
            )
    return found[_last(most)]


def _last(most: int | None) -> slice:
    return slice(None) if most is None else slice(-most, None)


def _user_records(data: bytes, partition_key: str, most: int | None) -> list[_UserRecord]:
    """Take a record of the Kinesis Producer Library apart; others are one record."""
    try:
        aggregate = open_aggregate(data)
    except AggregateError:
        aggregate = None
    if aggregate is None:
        return [("", partition_key, data)]
    count = len(aggregate)
    wanted = range(count)[_last(most)]
    keys, user_data = aggregate.rows(wanted.start, wanted.stop)
    return [
        (f"KPL {at + 1} of {count}, ", key, bytes(one))
        for at, key, one in zip(wanted, keys, user_data, strict=True)
    ]
