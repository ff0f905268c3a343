import logging
import re

import pytest
from simulated_engine import Engine, settings_for
from simulated_stream import Nastiness, SimulatedStream

from kinesis_source.errors import DataLossError, OffsetError, OptionError, StreamError
from kinesis_source.model.offsets import StreamOffset, StreamPosition
from kinesis_source.model.positions import TRIM_HORIZON, AfterRecord, AtTimestamp
from kinesis_source.options.settings import LATEST
from kinesis_source.plan.batch_rules import plan_ranges

SHARD = "shardId-000000000000"


def engine_on(stream: SimulatedStream, initial: object = TRIM_HORIZON, **changes: object) -> Engine:
    return Engine(stream, settings_for(initial, **changes))


def test_a_checkpoint_of_another_stream_is_refused() -> None:
    engine = engine_on(SimulatedStream())
    with pytest.raises(OffsetError) as caught:
        engine.planner.next_offset(StreamOffset({"other": StreamPosition(1, {})}))
    assert str(caught.value) == (
        "[OFFSET_OTHER_STREAM] The checkpoint belongs to ['other'], the query reads ['s']. Name "
        "the stream as before (name or ARN), or use a new checkpoint directory."
    )


def test_a_re_created_stream_is_data_loss() -> None:
    stream = SimulatedStream()
    stream.put(0, 3)
    engine = engine_on(stream)
    engine.step()
    stream.created_ms += 5
    engine.start_process()
    with pytest.raises(DataLossError) as caught:
        engine.step()
    assert str(caught.value) == (
        "[DATA_LOSS_STREAM_RECREATED] Stream 's' is not the one that the checkpoint belongs to: "
        "that one was created at 2026-01-01T00:00:00.000Z, this one at 2026-01-01T00:00:00.005Z. "
        "It was deleted and created again, or it is that of another region or account. What was "
        "unread in the old one is not in this one. Check region and roleArn; start with a new "
        "checkpoint directory, or set failOnDataLoss=false to go on with the oldest record of the "
        "new stream."
    )


def test_a_re_created_stream_is_read_from_its_oldest_record_if_the_user_says_so(caplog) -> None:
    engine = engine_on(SimulatedStream(), fail_on_data_loss=False)
    old = StreamOffset({"s": StreamPosition(1, {SHARD: AfterRecord("5", 1)})})
    with caplog.at_level(logging.WARNING):
        end = engine.planner.next_offset(old)
    assert "[DATA_LOSS_STREAM_RECREATED] Stream 's'" in caplog.text
    assert end.streams["s"].created_ms == engine.stream.created_ms
    assert plan_ranges(old, end) == []


def test_available_now_without_any_answer_ends_with_an_error_in_time() -> None:
    stream = SimulatedStream(nastiness=Nastiness(empty_page=1.0))
    engine = engine_on(stream)
    engine.planner.fix_target()
    began_s = stream.clock.now_s
    with pytest.raises(OffsetError) as caught:
        engine.step()
    assert str(caught.value) == (
        "[OFFSET_STALLED] For 300 s AWS showed neither a new record nor the end of what is "
        "available in ['s']. Start the query again; if it stays, look at the streams' iterator age."
    )
    assert 300 < stream.clock.now_s - began_s < 305


def test_a_listing_with_a_hole_for_good_is_an_error_at_the_start() -> None:
    stream = SimulatedStream(shards=2)
    stream.hidden.add(SHARD)
    with pytest.raises(StreamError, match=re.escape("[STREAM_LISTING] The shards listed for")):
        engine_on(stream).planner.initial_offset()


def test_a_start_in_the_future_of_aws_is_refused_by_name() -> None:
    stream = SimulatedStream()
    engine = engine_on(stream, AtTimestamp(stream.server_ms + 60_000))
    with pytest.raises(OptionError, match=r"^\[OPTION_RANGE\] Option 'initialPosition' lies 599"):
        engine.planner.initial_offset()


def test_a_start_older_than_the_stream_reads_all_of_it() -> None:
    stream = SimulatedStream(shards=2)
    stream.put(0, 3)
    stream.split(0)
    stream.put(1, 4)
    engine = engine_on(stream, AtTimestamp(stream.created_ms - 1_000_000))
    for _ in range(12):
        engine.step()
    assert engine.is_settled()
    assert sum(len(rows) for batch in engine.rows for rows in batch.values()) == 7


def test_latest_keeps_what_came_into_a_shard_that_closed_while_the_query_started() -> None:
    stream = SimulatedStream()
    began_ms = stream.server_ms
    stream.clock.sleep(1)
    real_list = stream.list_shards

    def list_late(*arguments, **options):
        if not stream.shards[SHARD].numbers:
            stream.put(0, 5)
            stream.split(0)
        return real_list(*arguments, **options)

    stream.list_shards = list_late  # type: ignore[method-assign]
    engine = engine_on(stream, LATEST)
    for _ in range(6):
        engine.step()
    assert stream.shards[SHARD].puts[0] > began_ms
    assert [len(batch[SHARD]) for batch in engine.rows if SHARD in batch] == [5]


def test_available_now_waits_for_children_that_the_listing_hides() -> None:
    stream = SimulatedStream(nastiness=Nastiness(child_late_ms=4_000), seed=1)
    stream.put(0, 3)
    stream.split(0)
    stream.put(0, 3)
    stream.put(1, 3)
    engine = engine_on(stream)
    engine.step()
    engine.start_process()
    engine.planner.fix_target()
    while engine.step():
        pass
    assert not engine.unread()


def test_a_record_that_came_after_the_start_is_read_whatever_its_arrival_time_says() -> None:
    """It lies before the start: reading by the moment alone would skip it."""
    stream = SimulatedStream()
    engine = engine_on(stream, LATEST)
    engine.step()
    stream.put(0, 1, when_ms=stream.server_ms - 5_000)
    stream.put(0, 2)
    engine.step()
    assert engine.rows[-1] == {SHARD: stream.shards[SHARD].numbers}


def test_an_idle_query_logs_batch_0_and_then_nothing() -> None:
    stream = SimulatedStream()
    engine = engine_on(stream, LATEST)
    assert engine.step()
    assert engine.rows == [{}]
    began_s = stream.clock.now_s
    assert not any(engine.step() for _ in range(5))
    assert stream.clock.now_s - began_s > 4  # it waits; Spark asks up to 90 times a second


def test_batch_0_is_the_same_after_a_restart_whatever_latest_is_then() -> None:
    stream = SimulatedStream()
    engine = engine_on(stream, LATEST)
    engine.initial_text()
    stream.put(0, 3)
    engine.step(crashes=True)
    stream.clock.sleep(100)
    stream.put(0, 4)
    engine.start_process()
    engine.replay(0)
    engine.step()
    assert [len(batch[SHARD]) for batch in engine.rows] == [3, 4]
