"""Thousands of generated histories of a stream that is as nasty as AWS's documentation allows.

The planner and the reader are driven as Spark drives them; :mod:`simulated_engine` checks every
batch (invariants 1 to 6), this file checks the whole: nothing missing, and an end in good time.
Histories of hours and days, in which records get lost, are in test_loss_histories.py.
"""

from __future__ import annotations

from histories import (
    ACTIONS,
    EVENTS,
    HISTORIES,
    MOST_BATCHES,
    STARTS,
    check_start,
    make_world,
    nastiness,
    run_to_the_end,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesis_source.plan import micro_batches


@settings(HISTORIES, max_examples=200)
@given(
    seed=st.integers(0, 2**32),
    nasty=nastiness(ahead=True),
    past=st.lists(EVENTS, max_size=6),
    events=st.lists(EVENTS, max_size=12),
    actions=ACTIONS,
    start=STARTS,
    poll_interval_ms=st.sampled_from([200, 1_000, 5_000]),
)
def test_everything_is_read_exactly_once_and_in_order(
    seed, nasty, past, events, actions, start, poll_interval_ms
) -> None:
    with make_world(
        seed, nasty, past, events, start=start, poll_interval_ms=poll_interval_ms
    ) as world:
        run_to_the_end(world, actions)
        check_start(world, start)
        # From then on silence has no news; an old position may get a note that nothing is missing.
        batches = len(world.engine.ends)
        for _ in range(3):
            world.engine.step()
        assert not any(world.engine.rows[batches:])
        for _ in range(3):
            assert not world.engine.step()
        # Any batch may be replayed, at any later time.
        world.engine.start_process()
        for batch in range(len(world.engine.ends)):
            world.engine.replay(batch)


@settings(HISTORIES, max_examples=250)
@given(
    seed=st.integers(0, 2**32),
    nasty=nastiness(ahead=False),
    past=st.lists(EVENTS, max_size=10),
    events=st.lists(EVENTS, max_size=8),
    batches_before=st.integers(0, 2),
    start=STARTS,
)
def test_available_now_reads_what_was_there_and_ends(
    seed, nasty, past, events, batches_before, start
) -> None:
    with make_world(seed, nasty, past, events, start=start) as world:
        stream, engine = world
        for _ in range(batches_before):  # a run before this one
            engine.go_on()
        before = {shard_id: len(shard.numbers) for shard_id, shard in stream.shards.items()}
        engine.is_available_now = True
        engine.start_process()
        latest_ms = stream.server_ms + micro_batches.CLOCK_GRAIN_MS
        batches_of_run, was_strict = len(engine.ends), engine.settings.fail_on_data_loss
        while engine.go_on():
            assert len(engine.ends) < MOST_BATCHES
        check_start(world, start)
        for shard_id, count in before.items():
            shard = stream.shards[shard_id]
            if not engine.is_in_scope(shard_id):
                continue
            read = max(engine.verdict.passed(stream, shard), shard.trimmed)
            assert read >= count, f"{shard_id}: {count - read} records that were there are unread"
        for batch in range(batches_of_run, len(engine.ends)):
            for shard_range in engine.ranges(batch):
                arrival = getattr(shard_range.end, "arrival_ms", 0)
                if engine.settings.fail_on_data_loss == was_strict:
                    assert arrival <= latest_ms, "a bound that arrived after the target"
