import logging
import re

import pytest
from scripted_api import ScriptedApi, page
from simulated_stream import FakeClock

from kinesis_source.aws.api import IteratorExpiredError
from kinesis_source.errors import DataLossError, ServiceError
from kinesis_source.model.positions import END, TRIM_HORIZON, AfterRecord, AtTimestamp
from kinesis_source.model.ranges import ShardRange
from kinesis_source.options.settings import ReadSettings, StreamSettings
from kinesis_source.read.shard_reader import ShardReader

pytestmark = pytest.mark.usefixtures("decoder")

STREAM = StreamSettings("clicks", "clicks")


def upto(number: int) -> AfterRecord:
    return AfterRecord(str(number), number * 10)


def reader(replies, *, start=TRIM_HORIZON, end=END, clock=None, **settings):
    api, clock = ScriptedApi(a=replies), clock or FakeClock()
    made = ShardReader(
        api,
        STREAM,
        ShardRange("clicks", "a", start, end),
        ReadSettings((STREAM,), **settings),
        monotonic=clock.monotonic,
        sleep=clock.sleep,
    )
    return api, made


def numbers(made: ShardReader) -> list[int]:
    return [int(number) for records in made.pages() for number in records.sequence_numbers]


def test_a_page_is_cut_behind_the_end_and_all_its_columns_with_it() -> None:
    _, made = reader([page(8, 9, 10, 11)], end=upto(10))
    (records,) = made.pages()
    assert records.sequence_numbers == ["8", "9", "10"]
    assert records.partition_keys == ["key 8", "key 9", "key 10"]
    assert records.arrival_ms == [80, 90, 100]
    assert len(records.data) == 3


def test_empty_pages_are_passed_over_and_never_yielded() -> None:
    _, made = reader([page(behind=9), page(1), page(), page(behind=1), page(2)], end=upto(2))
    assert [records.sequence_numbers for records in made.pages()] == [["1"], ["2"]]


def test_an_expired_iterator_resumes_behind_the_last_record_read() -> None:
    api, made = reader(
        [page(1, 2), IteratorExpiredError(), page(3)], start=AtTimestamp(5), end=upto(3)
    )
    assert numbers(made) == [1, 2, 3]
    assert api.positions == [AtTimestamp(5), AfterRecord("2", 20)]


def test_an_iterator_that_expires_before_the_first_record_begins_at_the_start_again() -> None:
    api, made = reader([IteratorExpiredError(), page(3)], start=AtTimestamp(5), end=upto(3))
    assert numbers(made) == [3]
    assert api.positions == [AtTimestamp(5)] * 2


def test_repeated_records_are_dropped() -> None:
    _, made = reader(
        [page(9, 10), page(10), page(9, 10, 11)], start=AfterRecord("9", 90), end=upto(11)
    )
    assert numbers(made) == [10, 11]


def test_a_missing_next_iterator_is_not_the_end_of_an_open_shard() -> None:
    api, made = reader([page(1, more=False), page(2)], end=upto(2))
    assert numbers(made) == [1, 2]
    assert api.positions == [TRIM_HORIZON, AfterRecord("1", 10)]


def test_replies_without_next_iterator_all_the_time_are_an_error() -> None:
    _, made = reader([page(more=False)], end=upto(2))
    with pytest.raises(ServiceError) as caught:
        numbers(made)
    assert str(caught.value) == (
        "[SERVICE_INCOMPLETE_REPLY] Shard 'a' of stream 'clicks': 5 GetRecords replies in a row "
        "had no next iterator although sequence number 2 (arrived 1970-01-01T00:00:00.020Z) "
        "is still ahead. Spark repeats the task; "
        "if it stays, look at what stands between here and AWS."
    )


def test_the_reply_that_ends_a_closed_shard_may_hold_records() -> None:
    _, made = reader([page(1), page(2, more=False, children=("b",))])
    assert numbers(made) == [1, 2]


def test_a_closed_shard_ends_without_child_shards_only_after_it_was_asked_again() -> None:
    api, made = reader([page(1), page(more=False), page(2), page(more=False)])
    assert numbers(made) == [1, 2]
    assert len(api.limits) == 3 + 6  # the last reply was believed the sixth time


@pytest.mark.parametrize("replies", [[page(7)], [page(more=False, children=("b",))]])
def test_an_end_that_is_gone_is_data_loss(replies) -> None:
    _, made = reader(replies, start=AfterRecord("1", 10), end=upto(5))
    with pytest.raises(DataLossError) as caught:
        numbers(made)
    assert str(caught.value) == (
        "[DATA_LOSS_BOUND] Shard 'a' of stream 'clicks': the record that ends this batch, sequence "
        "number 5 (arrived 1970-01-01T00:00:00.050Z), is gone, and with it what was behind "
        "sequence number 1 (arrived 1970-01-01T00:00:00.010Z). It is older than the stream's "
        "retention: read more often or lengthen that. Set failOnDataLoss=false to go on with what "
        "is left."
    )


def test_an_end_that_is_gone_is_a_warning_if_the_user_says_so(caplog) -> None:
    _, made = reader([page(3, 7)], end=upto(5), fail_on_data_loss=False)
    with caplog.at_level(logging.WARNING):
        assert numbers(made) == [3]
    assert "[DATA_LOSS_BOUND] Shard 'a' of stream 'clicks'" in caplog.text
    assert "Going on with what is left" in caplog.text


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        (page(behind=86_400_000), "pages without records"),
        (page(1), "pages without records"),  # what stands in between repeats an old reply
        (IteratorExpiredError(), "iterators that had expired"),
    ],
)
def test_no_record_for_two_minutes_is_an_error_and_not_a_hang(reply, what) -> None:
    clock = FakeClock()
    began_s = clock.now_s
    api, made = reader([reply], start=AfterRecord("1", 10), end=upto(5), clock=clock)
    with pytest.raises(ServiceError) as caught:
        numbers(made)
    found = re.sub(r"\d+ replies", "N replies", str(caught.value))
    assert found == (
        "[SERVICE_STALLED] Shard 'a' of stream 'clicks' gave no record for 120 s of asking "
        f"(N replies, at last {what}), while sequence number 5 (arrived 1970-01-01T00:00:00.050Z) "
        "is ahead of sequence number 1 (arrived 1970-01-01T00:00:00.010Z). Spark repeats the task; "
        "if it stays, the records may be older than the retention, or what stands between here and "
        "AWS repeats an old reply."
    )
    assert 120 < clock.now_s - began_s < 160  # waiting for the shard's rate counts for nothing
    assert len(api.limits) < 650  # no more than AWS's 5 calls a second


def test_what_the_consumer_takes_its_time_for_is_no_stall() -> None:
    clock = FakeClock()
    replies = [reply for n in range(1, 9) for reply in (page(behind=5), page(n))]
    _, made = reader(replies, end=upto(8), clock=clock)
    read = []
    for records in made.pages():
        read.extend(records.sequence_numbers)
        clock.sleep(301)
    assert len(read) == 8


def test_the_wait_for_memory_is_no_stall() -> None:
    clock = FakeClock()
    api = ScriptedApi(a=[page(behind=5), page(behind=5), page(1)])
    made = ShardReader(
        api,
        STREAM,
        ShardRange("clicks", "a", AfterRecord("0", 0), upto(1)),
        ReadSettings((STREAM,)),
        before_page=lambda _: clock.sleep(100),
        monotonic=clock.monotonic,
        sleep=clock.sleep,
    )
    assert numbers(made) == [1]


def test_the_limit_follows_what_is_left_of_the_range() -> None:
    dense = page(*range(1, 1_001))
    api, made = reader([dense, page(1_100)], end=upto(1_100))
    numbers(made)
    assert api.limits == [250, 125]  # 100 records are promised: a twentieth more and 20
    api, made = reader([page(1), page(more=False, children=("b",))])
    numbers(made)
    assert api.limits == [250, 10_000]
    api, made = reader([page(1)], end=upto(1), max_records_per_fetch=7)
    numbers(made)
    assert api.limits == [7]
