"""Looks through the library's own StreamApi: what the source is told by either witness.

Each takes a witness and returns a value free of generated parts, as an observation does. Here the
two must agree without exception: the source depends on every one of these.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from kinesis_source.aws.api import Page
from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.errors import KinesisSourceError
from kinesis_source.model.positions import TRIM_HORIZON, AfterRecord, AtTimestamp, Position
from kinesis_source.model.shards import HASH_KEY_MAX, Lineage, covers
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import (
    ClientSettings,
    IdentitySettings,
    RoleSettings,
    StreamSettings,
)

from .witness import WAIT_S, Observation, Stream, Witness

__all__ = ["LOOKS"]

_OTHER = "222233334444"

LOOKS: dict[str, Observation] = {}
"""Every look by its name."""


def _look(function: Observation) -> Observation:
    LOOKS[function.__name__] = function
    return function


class _Reader:
    """A stream seen through the StreamApi."""

    def __init__(self, witness: Witness, stream: Stream, *roles: RoleSettings) -> None:
        identity = IdentitySettings(
            access_key=witness.account,
            secret_key=Secret("test"),
            roles=roles,
            sts_endpoint=witness.endpoint_url if roles else None,
        )
        settings = ClientSettings(
            witness.region, witness.endpoint_url, identity, retry_budget_ms=10_000
        )
        self.api = BotoStreamApi(settings)
        self.stream = StreamSettings(stream.name, stream.name)

    def lineage(self) -> Lineage:
        return Lineage(self.api.list_shards(self.stream))

    def pages(self, shard_id: str, position: Position, limit: int = 1000) -> list[Page]:
        """Return pages until the end of the shard or an empty one that is caught up."""
        iterator: str | None = self.api.get_iterator(self.stream, shard_id, position)
        pages: list[Page] = []
        deadline = time.monotonic() + WAIT_S
        while iterator is not None and time.monotonic() < deadline:
            pages.append(self.api.get_page(self.stream, shard_id, iterator, limit))
            iterator = pages[-1].next_iterator
            if not len(pages[-1]) and pages[-1].millis_behind_latest == 0:
                break
        return pages

    def data(self, shard_id: str, position: Position) -> list[bytes]:
        return [data for page in self.pages(shard_id, position) for data in page.data]


def _code(call: Any, *arguments: Any) -> str:
    try:
        call(*arguments)
    except KinesisSourceError as error:
        return error.code
    return "ok"


@_look
def a_stream_is_described(witness: Witness) -> object:
    stream = witness.stream()
    reader = _Reader(witness, stream)
    described = reader.api.describe(reader.stream)
    return {
        "arn": described.arn.replace(stream.name, "NAME"),
        "status": described.status,
        "retention_ms": described.retention_ms,
        "created_now": abs(described.created_ms - time.time() * 1000) < 60_000,
    }


@_look
def a_lineage_of_split_and_merge(witness: Witness) -> object:
    stream = witness.stream(shards=2)
    low, _ = stream.split(stream.shards()[0])
    _, neighbour = (s for s in stream.shards() if s["ShardId"][-1] in "13")
    stream.merge(neighbour, next(s for s in stream.shards() if s["ShardId"][-1] == "1"))
    reader = _Reader(witness, stream)
    lineage = reader.lineage()
    return {
        "shards": [
            (s.shard_id[-1], [p[-1] for p in s.parents], s.is_closed)
            for s in sorted(lineage, key=lambda s: s.shard_id)
        ],
        "covered": covers(lineage.open_shards, 0, HASH_KEY_MAX),
        "roots": sorted(s.shard_id[-1] for s in lineage.roots),
        "open": sorted(s.shard_id[-1] for s in lineage.open_shards),
        "complete": lineage.is_complete,
        "first": low["ShardId"][-1],
    }


@_look
def shards_that_were_open_at_a_moment(witness: Witness) -> object:
    stream = witness.stream()
    reader = _Reader(witness, stream)
    time.sleep(1.1)  # LocalStack counts in whole seconds here
    before_ms = reader.api.now_ms()
    time.sleep(1.1)
    stream.split(stream.shards()[0])
    shards = reader.api.list_shards(reader.stream, before_ms)
    return [shard.shard_id[-1] for shard in shards]


@_look
def pages_in_columns(witness: Witness) -> object:
    stream = witness.stream()
    numbers = stream.put_all(5)
    reader = _Reader(witness, stream)
    pages = reader.pages("shardId-000000000000", TRIM_HORIZON, limit=2)
    arrivals = [arrival for page in pages for arrival in page.arrival_ms]
    return {
        "data": [page.data for page in pages],
        "keys": {key for page in pages for key in page.partition_keys},
        "numbers": [n for page in pages for n in page.sequence_numbers] == numbers,
        "arrived": arrivals == sorted(arrivals) and abs(arrivals[0] - time.time() * 1000) < 60_000,
        "behind": [page.millis_behind_latest > 0 for page in pages],
        "ends": [page.is_shard_end for page in pages],
    }


@_look
def positions(witness: Witness) -> object:
    stream = witness.stream()
    for n in range(3):
        if n:
            time.sleep(1.1)  # LocalStack floors the moment asked for to whole seconds
        stream.put(str(n))
    reader, shard = _Reader(witness, stream), "shardId-000000000000"
    pages = reader.pages(shard, TRIM_HORIZON)
    numbers, arrivals = pages[0].sequence_numbers, pages[0].arrival_ms
    return {
        "after": [
            reader.data(shard, AfterRecord(number, arrival))
            for number, arrival in zip(numbers, arrivals, strict=True)
        ],
        "at": [reader.data(shard, AtTimestamp(arrival)) for arrival in arrivals],
        "at_the_beginning_of_time": reader.data(shard, AtTimestamp(1)),
    }


@_look
def the_end_of_a_closed_shard(witness: Witness) -> object:
    stream = witness.stream()
    stream.put_all(3)
    stream.split(stream.shards()[0])
    reader = _Reader(witness, stream)
    last = reader.pages("shardId-000000000000", TRIM_HORIZON)[-1]
    return last.is_shard_end, sorted(child[-1] for child in last.child_shard_ids)


@_look
def a_stream_that_is_not_there(witness: Witness) -> object:
    reader = _Reader(witness, Stream(None, f"parity-none-{uuid.uuid4().hex[:8]}"))
    shard = "shardId-000000000000"
    return {
        "describe": _code(reader.api.describe, reader.stream),
        "list": _code(reader.api.list_shards, reader.stream),
        "iterator": _code(reader.api.get_iterator, reader.stream, shard, TRIM_HORIZON),
    }


@_look
def a_clock_that_is_never_ahead(witness: Witness) -> object:
    reader = _Reader(witness, witness.stream())
    reader.api.describe(reader.stream)
    before_ms = time.time() * 1000
    shown_ms = reader.api.now_ms()
    # Date headers have whole seconds, and both witnesses use this machine's clock.
    return before_ms - 2_000 < shown_ms <= time.time() * 1000


@_look
def another_account_s_stream_through_a_role(witness: Witness) -> object:
    stream = witness.stream(account=_OTHER)
    stream.put_all(2)
    role = RoleSettings(witness.make_role(_OTHER, f"reader-{uuid.uuid4().hex[:8]}", None))
    through, without = _Reader(witness, stream, role), _Reader(witness, stream)
    return {
        "through": through.data("shardId-000000000000", TRIM_HORIZON),
        "account": through.api.describe(through.stream).arn.split(":")[4],
        "without": _code(without.api.describe, without.stream),
    }
