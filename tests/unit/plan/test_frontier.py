"""What the frontier makes of findings and listings: one owner of each bound."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from scripted_api import ScriptedApi

from kinesis_source.aws.api import StreamDescription
from kinesis_source.errors import StreamError, ThrottledError
from kinesis_source.model.positions import (
    AfterRecord,
    FromRecord,
    OldestSince,
    ShardEnd,
    is_finished,
)
from kinesis_source.model.shards import HASH_KEY_MAX, Shard
from kinesis_source.options.settings import ReadSettings, StreamSettings
from kinesis_source.plan.finding import Finding, Outcome
from kinesis_source.plan.frontier import StreamFrontier

STREAM = StreamSettings("s", "s")
AT_5, AT_9 = AfterRecord("5", 50), AfterRecord("9", 90)
THROTTLED = ThrottledError("SERVICE_THROTTLED", "Stream 's': too much.", "Wait.")
DENIED = StreamError("STREAM_SHARD_NOT_FOUND", "Stream 's' has no shard 'a'.", "Look.")


class HandRuntime:
    """A clock that the test moves; nothing runs beside it."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def process_s(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def submit(self, function: Callable[[], Any]) -> Future[Any]:
        raise AssertionError

    def wait(self, futures: Any, timeout_s: float) -> None:
        raise AssertionError

    def spawn(self, function: Callable[[], None]) -> None:
        raise AssertionError

    def close(self) -> None:
        pass


class ListingApi(ScriptedApi):
    """Lists what the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: tuple[Shard, ...] = (shard("a"),)
        self.described = 0

    def list_shards(self, stream: Any, open_at_ms: int | None = None) -> tuple[Shard, ...]:
        return self.listed

    def describe(self, stream: StreamSettings) -> StreamDescription:
        self.described += 1
        return StreamDescription("arn", "ACTIVE", 1, 86_400_000)


def shard(shard_id: str, *, is_closed: bool = False) -> Shard:
    return Shard(shard_id, (), 0, HASH_KEY_MAX, is_closed)


@pytest.fixture
def api() -> ListingApi:
    return ListingApi()


@pytest.fixture
def runtime() -> HandRuntime:
    return HandRuntime()


@pytest.fixture
def frontier(api, runtime) -> StreamFrontier:
    settings = ReadSettings((STREAM,))
    return StreamFrontier(api, STREAM, settings, api.describe, runtime, failing_budget_s=20.0)


def follow(frontier: StreamFrontier, position=AT_5):
    frontier.adopt({"a": position}, 1, 86_400_000)
    (taken,) = frontier.take_due()
    return taken


def close(frontier: StreamFrontier, api: ListingApi) -> None:
    api.listed = (shard("a", is_closed=True),)
    frontier.listing.list_now()


def test_a_poll_that_comes_back_after_the_listing_closed_the_shard_changes_no_end(
    frontier, api
) -> None:
    """Its finding is of before: an iterator that expired, a record, no answer at all."""
    taken = follow(frontier)
    close(frontier, api)
    frontier.adopt({"a": AT_5}, 1, 86_400_000)
    for finding in (
        Finding(Outcome.MORE, AT_9),
        Finding(Outcome.UNANSWERED, AT_5),
        Finding(Outcome.UNLISTED_END, AT_9),
    ):
        taken.looking_since_s = 100.0
        frontier.settle(taken, finding)
        assert frontier.bounds({"a": AT_5}) == {"a": ShardEnd(50)}


def test_the_end_of_a_shard_waits_for_its_first_record_where_the_start_is_none(
    frontier, api
) -> None:
    close(frontier, api)
    start = OldestSince(10)
    taken = follow(frontier, start)
    assert frontier.bounds({"a": start}) == {"a": start}
    first = FromRecord("7", 70)
    frontier.settle(taken, Finding(Outcome.MORE, AT_9, first, has_looked=True))
    frontier.adopt({"a": start}, 1, 86_400_000)
    assert frontier.bounds({"a": start}) == {"a": ShardEnd(90)}


def test_nothing_is_due_in_the_past(frontier, runtime) -> None:
    taken = follow(frontier)
    runtime.now_s += 50
    frontier.settle(taken, Finding(Outcome.TIP, AT_5))
    assert taken.due_s >= runtime.now_s


def test_a_throttled_shard_is_asked_later_and_later_and_given_up_at_the_end_of_the_budget(
    frontier, runtime
) -> None:
    taken = follow(frontier)
    waits: list[float] = []

    def look_on() -> None:
        while True:
            frontier.settle(taken, Finding(Outcome.LATER, AT_5, error=THROTTLED))
            waits.append(taken.due_s - runtime.now_s)
            runtime.now_s = taken.due_s
            assert frontier.take_due() == [taken]

    with pytest.raises(ThrottledError, match=r"too much; asked .* \d+ tries in 20\.0 s\. Wait\."):
        look_on()
    for wait_s, longest_s in zip(waits, [0.5, 1.0, 2.0, 4.0, 4.0], strict=False):
        assert longest_s / 2 <= wait_s <= longest_s
    assert sum(waits) == pytest.approx(20.0)


def test_a_shard_whose_calls_are_in_demand_is_looked_at_less_often_for_a_while(
    frontier, runtime
) -> None:
    """Looks that came back at once would leave the executors nothing of five calls a second."""
    taken = follow(frontier)

    def wait_after(*outcomes: Outcome) -> float:
        for outcome in outcomes:
            error = THROTTLED if outcome is Outcome.LATER else None
            taken.looking_since_s = runtime.now_s
            frontier.settle(taken, Finding(outcome, AT_5, has_looked=True, error=error))
        return taken.due_s - runtime.now_s

    usual_s = wait_after(Outcome.TIP)
    after_one_s = wait_after(Outcome.LATER, Outcome.TIP)
    assert usual_s + 0.2 < after_one_s < usual_s + 0.3
    after_many_s = wait_after(*[Outcome.LATER, Outcome.TIP] * 20)
    assert usual_s + 2 < after_many_s < usual_s + 4
    assert wait_after(*[Outcome.TIP] * 40) < usual_s + 0.1


def test_shards_that_were_refused_together_come_back_at_different_times(frontier) -> None:
    ids = [f"shardId-{n:012}" for n in range(50)]
    frontier.adopt(dict.fromkeys(ids, AT_5), 1, 86_400_000)
    for taken in frontier.take_due():
        frontier.settle(taken, Finding(Outcome.LATER, AT_5, error=THROTTLED))
    due = sorted(frontier._shards[shard_id].due_s for shard_id in ids)
    assert due[-1] - due[0] > 0.2


def test_a_stream_that_was_created_anew_has_other_shards_under_the_same_ids(frontier) -> None:
    taken = follow(frontier)
    frontier.settle(taken, Finding(Outcome.MORE, AT_9))
    frontier.adopt({"a": AT_5}, 2, 86_400_000)
    assert frontier.bounds({"a": AT_5}) == {"a": AT_5}


def test_a_shard_that_answers_again_begins_with_a_new_budget(frontier, runtime) -> None:
    taken = follow(frontier)
    for _ in range(10):
        frontier.settle(taken, Finding(Outcome.LATER, AT_5, error=THROTTLED))
        runtime.now_s += 15
        taken.looking_since_s = runtime.now_s
        frontier.settle(taken, Finding(Outcome.TIP, AT_5))
        runtime.now_s += 15
        taken.looking_since_s = runtime.now_s
    assert taken.failures == 0


def test_a_denied_shard_is_lost_only_when_listings_agree_more_than_once_and_for_a_while(
    frontier, api, runtime
) -> None:
    frontier.listing.list_now()
    taken = follow(frontier)
    frontier.settle(taken, Finding(Outcome.DENIED, AT_5, error=DENIED))
    assert frontier.take_losses([]) == {}, "every listing shows it"
    api.listed = (shard("b"),)
    frontier.listing.list_now()
    taken.looking_since_s = runtime.now_s
    frontier.settle(taken, Finding(Outcome.DENIED, AT_5, error=DENIED))
    for _ in range(3):
        runtime.now_s += 2
        frontier.listing.list_now()
        assert frontier.take_losses([]) == {}
    runtime.now_s += 6
    frontier.listing.list_now()
    frontier.facts.describe()
    assert list(map(is_finished, frontier.take_losses([]).values())) == [True]


def test_a_refused_number_is_believed_once_the_stream_was_described_again(
    frontier, runtime
) -> None:
    taken = follow(frontier)
    for _ in range(4):
        taken.looking_since_s = runtime.now_s
        assert frontier.take_losses([]) == {}
        frontier.settle(taken, Finding(Outcome.REFUSED, AT_9, place=AT_5))
        runtime.now_s += 4
    assert frontier.take_losses([]) == {}, "it may be another stream by now"
    frontier.facts.describe()
    taken.looking_since_s = runtime.now_s
    frontier.settle(taken, Finding(Outcome.REFUSED, AT_9, place=AT_5))
    assert frontier.take_losses([]) == {"a": AT_5}


def test_the_stream_is_described_again_each_hour_and_soon_after_a_contradiction(
    frontier, api, runtime
) -> None:
    facts = frontier.facts
    facts.description()
    assert not facts.is_description_due
    runtime.now_s += 3_600
    assert facts.is_description_due
    facts.describe()
    assert not facts.is_description_due
    taken = follow(frontier)
    frontier.settle(taken, Finding(Outcome.DENIED, AT_5, error=DENIED))
    runtime.now_s += 10
    assert facts.is_description_due
    facts.describe()
    assert (api.described, facts.is_description_due) == (3, False)


def test_a_moment_that_has_not_come_shows_in_the_log_once_a_minute_and_in_the_metrics(
    frontier, runtime, caplog
) -> None:
    taken = follow(frontier)
    for _ in range(5):
        frontier.settle(taken, Finding(Outcome.IN_FUTURE, AT_5))
        runtime.now_s += 1
        taken.looking_since_s = runtime.now_s
    assert len(caplog.records) == 1
    assert "has not come yet" in caplog.text
    assert frontier.metrics()["numUnansweredShards"] == 1
