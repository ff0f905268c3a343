"""Where a query begins: moments that AWS agrees have come, and merges at the retention's edge."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_api import ScriptedApi

from kinesis_source.aws.api import PositionRefusedError
from kinesis_source.errors import ServiceError, StreamError
from kinesis_source.model.positions import LOST, TRIM_HORIZON, AtTimestamp, OldestSince, Position
from kinesis_source.model.shards import HASH_KEY_MAX, Shard
from kinesis_source.options.settings import LATEST, StreamSettings
from kinesis_source.plan.listing import ShardListing
from kinesis_source.plan.start import resolve_start

STREAM = StreamSettings("s", "s")
NOW_MS = 10**12
HALF = HASH_KEY_MAX // 2
B = Shard("b", (), HALF + 1, HASH_KEY_MAX, is_closed=True)
MERGED = Shard("m", ("a", "b"), 0, HASH_KEY_MAX, is_closed=False)


class Runtime:
    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Api(ScriptedApi):
    """A clock that is ahead until it is refuted."""

    def __init__(self, *listed: Shard, ahead_ms: int = 0, stays_ahead: bool = False) -> None:
        super().__init__()
        self.listed, self.ahead_ms, self.stays_ahead = listed, ahead_ms, stays_ahead
        self.refuted: list[int] = []

    def now_ms(self) -> int:
        return NOW_MS + self.ahead_ms

    def list_shards(self, stream: Any, open_at_ms: int | None = None) -> tuple[Shard, ...]:
        return self.listed

    def get_iterator(
        self, stream: StreamSettings, shard_id: str, position: Position, *, inclusive: bool = False
    ) -> str:
        if isinstance(position, AtTimestamp) and position.epoch_ms > NOW_MS:
            raise PositionRefusedError("in the future")
        return "iterator"

    def refute_now(self, moment_ms: int) -> None:
        self.refuted.append(moment_ms)
        if not self.stays_ahead:
            self.ahead_ms = 0


def resolve(api: Api, initial: Any, created_ms: int = 1) -> dict[str, Position]:
    listing = ShardListing(api, STREAM, 1_000, Runtime())  # type: ignore[arg-type]
    return dict(resolve_start(api, STREAM, listing, initial, created_ms).shards)


def test_latest_is_no_moment_that_aws_refuses() -> None:
    api = Api(Shard("a", (), 0, HASH_KEY_MAX, is_closed=False), ahead_ms=3_600_000)
    assert resolve(api, LATEST) == {"a": AtTimestamp(NOW_MS, whole_ms=NOW_MS)}
    assert api.refuted == [NOW_MS + 3_600_000]


def test_a_clock_that_stays_ahead_is_an_error_and_gets_into_no_checkpoint() -> None:
    api = Api(
        Shard("a", (), 0, HASH_KEY_MAX, is_closed=False), ahead_ms=3_600_000, stays_ahead=True
    )
    with pytest.raises(ServiceError, match=r"^\[SERVICE_CLOCK\] AWS refused the present moment"):
        resolve(api, LATEST)


def test_a_merge_begins_after_the_parent_that_is_left() -> None:
    """The other one was gone before the query began: no loss."""
    start = {"b": OldestSince(NOW_MS, empty_ms=1), "a": LOST}  # nothing is older than the stream
    assert resolve(Api(MERGED, B), TRIM_HORIZON) == start


def test_a_moment_when_one_parent_of_a_merge_was_still_there_begins_alike() -> None:
    old = AtTimestamp(5)
    start = {"b": AtTimestamp(5, whole_ms=NOW_MS), "a": LOST}

    class Old(Api):
        def list_shards(self, stream: Any, open_at_ms: int | None = None) -> tuple[Shard, ...]:
            return (MERGED, B) if open_at_ms is None else (B,)

    assert resolve(Old(), old) == start


def test_one_round_of_listings_that_lacks_a_parent_does_not_begin_without_it() -> None:
    """The fourth one shows it."""
    late = Shard("a", (), 0, HALF, is_closed=True)

    class Late(Api):
        listings = 0

        def list_shards(self, stream: Any, open_at_ms: int | None = None) -> tuple[Shard, ...]:
            self.listings += 1
            return (MERGED, B) if self.listings < 4 else (MERGED, B, late)

    start = resolve(Late(), TRIM_HORIZON)
    assert start == dict.fromkeys(["a", "b"], OldestSince(NOW_MS, empty_ms=1))


def test_a_stream_younger_than_the_retention_has_lost_no_shard() -> None:
    with pytest.raises(StreamError, match="STREAM_LISTING"):
        resolve(Api(MERGED, B), TRIM_HORIZON, created_ms=NOW_MS - 3_600_000)


def test_a_hole_that_no_merge_explains_is_still_one() -> None:
    other = Shard("x", (), 0, HALF - 10, is_closed=False)
    with pytest.raises(StreamError, match="STREAM_LISTING"):
        resolve(Api(other, B), TRIM_HORIZON)


def test_latest_is_the_moment_of_load_where_the_query_starts_soon_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kinesis_source.plan.start.time.time_ns", lambda: 50_000 * 10**6)
    api = Api(Shard("a", (), 0, HASH_KEY_MAX, is_closed=False))
    for loaded_ms, back_ms in ((47_000, 3_000), (1_000, 10_000), (60_000, 0), (None, 0)):
        listing = ShardListing(api, STREAM, 1_000, Runtime())  # type: ignore[arg-type]
        found = resolve_start(api, STREAM, listing, LATEST, 1, loaded_ms).shards
        assert found == {"a": AtTimestamp(NOW_MS - back_ms, whole_ms=NOW_MS)}
