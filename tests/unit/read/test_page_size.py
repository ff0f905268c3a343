"""How many records are asked for: what the range holds, and little more."""

from __future__ import annotations

import pytest

from kinesis_source.aws.api import Page
from kinesis_source.cursor.density import density_of
from kinesis_source.model.positions import END, TRIM_HORIZON, AfterRecord, AtTimestamp
from kinesis_source.model.ranges import Density, ShardRange
from kinesis_source.read.pacing import ShardPace
from kinesis_source.read.page_size import PageSize

START_MS = 1_767_225_600_000
RATE = 2_000_000


def after(ms: int) -> AfterRecord:
    return AfterRecord("49" + str(ms), START_MS + ms)


def size_of(start, end, density: Density | None = None, pace: ShardPace | None = None) -> PageSize:
    shard_range = ShardRange("clicks", "shardId-0", start, end, density)
    return PageSize(shard_range, pace or ShardPace(), 10_000, None)


def page(count: int, every_ms: int, size: int = 100, first_ms: int = 0) -> Page:
    arrivals = [START_MS + first_ms + number * every_ms for number in range(count)]
    numbers = [str(number) for number in range(count)]
    return Page(numbers, numbers, arrivals, [b"x" * size] * count, "next", 0)


def test_the_drivers_hint_sizes_the_first_page() -> None:
    density = Density(record_bytes=100, records_per_s=100)
    assert size_of(after(0), after(2_000), density).first() == 230  # 200, a twentieth and 20 more


def test_what_this_process_saw_goes_before_the_hint() -> None:
    pace = ShardPace()
    pace.note(page(100, every_ms=20), 0.0, 0.0, None)  # 50 a second
    size = size_of(after(0), after(2_000), Density(100, 900), pace)
    assert size.first() == 125


@pytest.mark.parametrize(
    ("density", "limit"),
    [
        (None, 1_070),  # AWS lets 1,000 records a second in
        (Density(record_bytes=1024 * 1024), 2),  # or 1 MiB
        (Density(record_bytes=100, records_per_s=5_000), 5_270),  # an emulator: seen is seen
    ],
)
def test_no_more_is_asked_for_than_aws_lets_into_a_shard(density, limit) -> None:
    assert size_of(after(0), after(1_000), density).first() == limit
    assert size_of(AtTimestamp(START_MS), after(1_000), density).first() == limit


def test_where_the_end_is_far_or_unknown() -> None:
    assert size_of(after(0), after(86_400_000)).first() == 10_000
    assert size_of(TRIM_HORIZON, after(5)).first() == 1_000
    assert size_of(after(0), END).first() == 10_000


def test_the_next_page_is_what_is_left() -> None:
    size = size_of(after(0), after(1_000))
    assert size.next(page(100, every_ms=5)) == 126  # 495 ms done: 505 ms at 200 a second
    # All have come by their arrival times, and the end has not: more of its neighbours.
    assert size.next(page(1_000, every_ms=1)) == 62


def pages_of(count: int, end_ms: int, arrival_ms: list[int], size_bytes: int) -> list[int]:
    """Read a range of so many records; return how many each page had."""
    size = size_of(after(0), after(end_ms), Density(size_bytes, None))
    sizes = [size.first()]
    while sum(sizes) < count:
        start = sum(sizes[:-1])
        arrivals = [START_MS + ms for ms in arrival_ms[start : start + sizes[-1]]]
        numbers = [str(number) for number in range(len(arrivals))]
        asked = Page(numbers, numbers, arrivals, [b"x" * size_bytes] * len(arrivals), "next", 0)
        sizes.append(size.next(asked))
    return sizes


def test_a_burst_in_one_moment_takes_pages_that_double() -> None:
    """PutRecords makes hundreds arrive at once; pages of 20 were 80 records a second."""
    assert pages_of(1_500, 0, [0] * 1_500, 1_000) == [20, 20, 40, 80, 160, 320, 640, 1_280]


def test_times_that_fall_take_pages_that_double() -> None:
    assert len(pages_of(5_000, 100, list(range(5_100, 100, -1)), 100)) <= 12


def test_an_even_flow_takes_a_page_and_a_rest() -> None:
    """What the doubling is not for: a density that is a little off."""
    every_5_ms = list(range(0, 10_000, 5))
    sizes = pages_of(2_000, 10_000, every_5_ms, 5_000)  # at a quarter of what AWS lets in
    assert sum(sizes) < 1.1 * 2_000


def test_a_page_never_exceeds_what_the_rate_gives_in_half_a_second() -> None:
    shard_range = ShardRange("s", "shardId-0", after(0), END, Density(10_000.0))
    assert PageSize(shard_range, ShardPace(), 10_000, RATE).first() == 100


def test_memory_is_reserved_for_what_may_come() -> None:
    size = size_of(after(0), END)
    assert size.page_bytes(10) == 100 * 1024  # nothing is known
    assert size.page_bytes(10_000) == 10 * 1024 * 1024
    assert size_of(after(0), END, Density(1_000.0)).page_bytes(10) == 10_000
    assert size_of(after(0), END, Density(1_000.0)).page_bytes(10**6) == 10 * 1024 * 1024


def test_bursts_and_few_records_tell_no_rate() -> None:
    known = Density(50.0, 7.0)
    assert density_of(page(500, every_ms=0), 500 * 10, known) == Density(10.0, 7.0)
    assert density_of(page(9, every_ms=100), 9 * 10, None) == Density(10.0, None)
    assert density_of(page(100, every_ms=1), 100 * 10, known) == Density(10.0, 7.0)
    assert density_of(page(21, every_ms=10), 21 * 10, None) == Density(10.0, 100.0)
    assert density_of(page(21, every_ms=10), 21 * 10, Density(1.0, 50.0)) == Density(10.0, 75.0)
    assert density_of(page(3, every_ms=1), 0, known) == known
