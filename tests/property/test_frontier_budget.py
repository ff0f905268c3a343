"""What planning costs, in calls to AWS: 5 GetRecords a second and shard are all there is.

AWS shares 5 GetRecords and 2 MiB a second and shard among all readers; the driver must leave nearly
all of it to the executors, whatever the traffic.
"""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest
from simulated_engine import Engine, settings_for
from simulated_stream import SimulatedStream

from kinesis_source.aws.api import Page
from kinesis_source.model.offsets import StreamOffset
from kinesis_source.model.positions import TRIM_HORIZON, AtTimestamp
from kinesis_source.options.settings import LATEST
from kinesis_source.plan.finding import Finding
from kinesis_source.plan.probe import Outcome, ShardProbe

SHARD = "shardId-000000000000"


def flow(stream: SimulatedStream, *, every_ms: int, count: int, seconds: int, size: int) -> None:
    """Schedule an even flow of records into the first shard."""
    first_ms = stream.server_ms
    for at_ms in range(first_ms, first_ms + seconds * 1_000, every_ms):
        stream.at(at_ms, lambda at_ms=at_ms: stream.put(0, count, size, at_ms))  # type: ignore[misc]


class Budget:
    """Counts the driver's calls for the shard, poll by poll; executors' calls are left out."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.polls: list[tuple[int, int]] = []  # GetShardIterator, GetRecords
        self.uncovered: list[int] = []  # records behind the planned end, when it was planned

    def run(self, polls: int) -> None:
        """Do what Spark does, until so many polls were made."""
        engine = self.engine
        calls = engine.stream.calls
        next_offset = engine.planner.next_offset

        def counted(start, *, to_the_tip=False):
            before = Counter(calls)
            end = next_offset(start, to_the_tip=to_the_tip)
            spent = tuple(calls[kind, SHARD] - before[kind, SHARD] for kind in ("iterator", "page"))
            shard, position = engine.stream.shards[SHARD], end.streams["s"].shards[SHARD]
            if spent[1]:
                self.polls.append(spent)
                self.uncovered.append(len(shard.numbers) - shard.index_behind(position))
            return end

        engine.planner.next_offset = counted  # type: ignore[method-assign]
        goal = len(self.polls) + polls
        while len(self.polls) < goal:
            engine.step()
        engine.planner.next_offset = next_offset  # type: ignore[method-assign]


def test_an_idle_shard_costs_one_call_each_interval() -> None:
    engine = Engine(SimulatedStream(), settings_for(LATEST))
    engine.step()
    budget = Budget(engine)
    began_s = engine.stream.clock.now_s
    budget.run(60)
    assert set(budget.polls) == {(0, 1)}
    assert engine.stream.clock.now_s - began_s == pytest.approx(60, abs=1.5)


def test_an_idle_shard_renews_its_iterator_before_it_expires() -> None:
    engine = Engine(SimulatedStream(), settings_for(LATEST, poll_interval_ms=100_000))
    engine.step()
    budget = Budget(engine)
    budget.run(9)
    assert set(budget.polls) <= {(0, 1), (1, 1)}  # never a call that only says "expired"


def test_a_trickle_costs_one_call_each_interval() -> None:
    stream = SimulatedStream()
    engine = Engine(stream, settings_for(LATEST))
    flow(stream, every_ms=700, count=1, seconds=60, size=500)
    engine.step()
    budget = Budget(engine)
    budget.run(50)
    assert set(budget.polls) == {(0, 1)}
    assert sum(engine.unread().values()) <= 2


@pytest.mark.parametrize("pause_s", [0.0, 5.0])
def test_full_rate_costs_one_iterator_and_one_page_and_leaves_little_uncovered(pause_s) -> None:
    stream = SimulatedStream()
    engine = Engine(stream, settings_for(LATEST))
    flow(stream, every_ms=20, count=20, seconds=400, size=1_024)
    engine.step()
    budget = Budget(engine)
    for _ in range(30):
        budget.run(1)
        stream.clock.sleep(pause_s)
    assert set(budget.polls[6:]) <= {(1, 1), (0, 1)}
    assert max(iterators for iterators, _ in budget.polls) <= 1
    assert max(pages for _, pages in budget.polls) <= 2
    assert max(budget.uncovered[6:]) < 1_000


def test_a_planner_that_waits_for_news_reads_little_of_a_shard_at_full_rate(monkeypatch) -> None:
    """Executors need the shard's 2 MiB a second, also where plans wait longer than batches last."""
    stream = SimulatedStream()
    taken: list[int] = []
    poll = ShardProbe.poll

    def polled(probe: ShardProbe, **options: bool) -> Finding:
        api, get_page = probe._cursor._api, probe._cursor._api.get_page
        with monkeypatch.context() as patch:
            patch.setattr(api, "get_page", lambda *given: noted(get_page(*given)), raising=False)
            return poll(probe, **options)

    def noted(page: Page) -> Page:
        taken.append(len(page))
        return page

    flow(stream, every_ms=20, count=20, seconds=60, size=1_024)
    stream.clock.sleep(5)
    engine = Engine(stream, settings_for(LATEST))
    stream._clock_late_ms = 900  # the Date header has whole seconds
    budget = Budget(engine)
    budget.run(5)
    monkeypatch.setattr(ShardProbe, "poll", polled)
    budget.run(30)
    assert 0 < sum(taken) < 0.1 * 30 * 1_000


def test_the_dearest_poll_is_one_iterator_and_two_pages_but_for_the_first(monkeypatch) -> None:
    stream = SimulatedStream()
    spent = []  # a call of the planner may make several polls
    poll = ShardProbe.poll

    def counted(probe: ShardProbe, **options: bool) -> Outcome:
        before = Counter(stream.driver_calls)
        outcome = poll(probe, **options)
        spent.append(Counter(stream.driver_calls) - before)
        return outcome

    monkeypatch.setattr(ShardProbe, "poll", counted)
    stream.put(0, 200_000, 100)
    stream.clock.sleep(60)
    flow(stream, every_ms=900, count=300, seconds=120, size=1_024)
    engine = Engine(stream, settings_for(TRIM_HORIZON))
    budget = Budget(engine)
    budget.run(60)
    assert max(spent[0].values()) <= 2
    assert max(calls["iterator", SHARD] for calls in spent[1:]) == 1
    assert max(calls["page", SHARD] for calls in spent[1:]) == 2


@pytest.mark.parametrize("minutes_ago", [0, 30, 600])
@pytest.mark.parametrize("initial", [TRIM_HORIZON, AtTimestamp(0)])
def test_the_first_batch_of_a_backlog_is_no_small_one(minutes_ago, initial) -> None:
    """It waits for two looks more, where nobody writes any more: five calls of a kind a second."""
    stream = SimulatedStream()
    for _ in range(3_600):
        stream.put(0, 10, 1_024)
        stream.clock.sleep(1)
    stream.clock.sleep(60 * minutes_ago)
    engine = Engine(stream, settings_for(initial))
    began_s = stream.clock.now_s
    first = engine.planner.next_offset(engine.planner.initial_offset())
    assert stream.clock.now_s - began_s < 2
    shard, position = stream.shards[SHARD], first.streams["s"].shards[SHARD]
    assert shard.index_behind(position) >= (18_000 if minutes_ago <= 30 else 1_000)
    # The access check's own call among them.
    assert stream.calls["iterator", SHARD] <= 5
    assert stream.calls["page", SHARD] <= 7


@pytest.mark.parametrize("poll_s", [0.0, 3.0])
def test_the_end_of_a_full_rate_is_caught_up_in_a_few_polls(poll_s) -> None:
    """What the last leap left: up to a poll interval and 200 ms of records."""
    stream = SimulatedStream()
    engine = Engine(stream, settings_for(LATEST))
    flow(stream, every_ms=20, count=20, seconds=30, size=1_024)
    last_s = stream.clock.now_s + 30
    engine.step()
    while stream.clock.now_s < last_s:
        engine.step()
        stream.clock.sleep(poll_s)
    budget = Budget(engine)
    while engine.unread():
        budget.run(1)
        assert len(budget.polls) <= 2
    assert max(iterators for iterators, _ in budget.polls) <= 1


@pytest.mark.parametrize("size", [100, 1_024, 50_000])
def test_a_burst_of_5_mb_and_then_silence_is_caught_up_in_12_polls(size) -> None:
    stream = SimulatedStream()
    stream.put(0, 10, size)
    engine = Engine(stream, settings_for(TRIM_HORIZON))
    while engine.unread():
        engine.step()
    stream.clock.sleep(5)
    at_ms = stream.server_ms
    records = 5_000_000 // size
    for n in range(50):  # within a second, as one shard takes it
        when_ms = at_ms + n * 20
        stream.at(when_ms, lambda when_ms=when_ms: stream.put(0, records // 50, size, when_ms))
    stream.clock.sleep(3)
    stream.catch_up()
    budget = Budget(engine)
    while engine.unread():
        budget.run(1)
        assert len(budget.polls) <= 12


def test_large_records_are_looked_at_less_often() -> None:
    """A probe is a whole record of the shard's 2 MiB/s."""
    stream = SimulatedStream()
    engine = Engine(stream, settings_for(LATEST))
    flow(stream, every_ms=2_000, count=1, seconds=200, size=1_048_576)
    engine.step()
    budget = Budget(engine)
    budget.run(3)
    began_s = stream.clock.now_s
    budget.run(10)
    assert stream.clock.now_s - began_s > 60


def test_polling_1000_idle_shards_side_by_side_stays_quick() -> None:
    class SlowStream(SimulatedStream):
        def get_page(self, *call):
            time.sleep(0.001)  # a call takes its time without holding the interpreter
            return super().get_page(*call)

    stream = SlowStream(shards=1_000)
    engine = Engine(stream, settings_for(LATEST))
    engine.step()
    stream.calls.clear()
    start = StreamOffset.from_json(json.loads(engine.ends[-1]))
    began_s = time.perf_counter()
    assert engine.planner.next_offset(start) is start
    assert time.perf_counter() - began_s < 10  # 0.3 s on two idle cores
    assert sum(count for (kind, _), count in stream.calls.items() if kind == "page") >= 1_000
    assert not any(kind == "iterator" for kind, _ in stream.calls)
    engine.planner.close()
