"""How fast a task puts into a shard."""

from __future__ import annotations

from collections import deque

import pytest

from kinesis_source.write.pace import FULL, LEAST, ShardPace


def sent_in(pace: ShardPace, seconds: float, size_bytes: int, start_s: float = 0.0) -> int:
    """Send as fast as the pace allows; return how many records that were."""
    now_s, sent = start_s, 0
    while now_s < start_s + seconds:
        wait_s = pace.wait_s(now_s)
        if wait_s > 0:
            now_s += wait_s
            continue
        while not pace.is_spent:
            pace.take(1, size_bytes)
            sent += 1
    return sent


@pytest.mark.parametrize(("size_bytes", "most"), [(100, 1_000), (10_240, 102), (1_048_576, 1)])
def test_a_shards_limits_are_nearly_filled_and_hardly_passed(size_bytes: int, most: int) -> None:
    sent = sent_in(ShardPace(0.0), 60, size_bytes)
    assert 0.95 * most * 60 <= sent <= 1.0 * most * 60 + 50


def test_many_shards_together() -> None:
    assert sent_in(ShardPace(0.0, shards=50), 10, 100) > 400_000


def test_rejections_are_given_way_to_and_forgotten() -> None:
    pace = ShardPace(0.0)
    for turn in range(20):
        pace.wait_s(float(turn))
        pace.take(10, 1_000)
        pace.rejected(float(turn), 10)
    assert LEAST <= pace.share < 0.1
    assert sent_in(pace, 2, 100, start_s=20) < 300
    sent_in(pace, 120, 100, start_s=22)
    assert pace.share == FULL


@pytest.mark.parametrize("writers", [1, 2, 6])
def test_writers_who_do_not_know_of_each_other_share_a_shard(writers: int) -> None:
    paces = [ShardPace(0.0) for _ in range(writers)]
    window: deque[tuple[float, int]] = deque()
    taken = rejected = in_window = 0
    for step in range(120_000):  # two minutes
        now_s = step / 1_000
        while window and window[0][0] <= now_s - 1.0:
            in_window -= window.popleft()[1]
        for pace in paces:
            if pace.wait_s(now_s) > 0:
                continue
            sent = 0
            while not pace.is_spent:
                pace.take(1, 100)
                sent += 1
            fits = min(sent, 1_000 - in_window)
            window.append((now_s, fits))
            in_window += fits
            if step >= 60_000:  # they have come to know the shard
                taken, rejected = taken + fits, rejected + sent - fits
            if fits < sent:
                pace.rejected(now_s, sent - fits)
    assert taken > 0.7 * 60_000, "most of what the shard takes"
    assert rejected < 0.06 * taken, (taken, rejected)


def test_rejections_of_one_request_count_once() -> None:
    pace = ShardPace(0.0)
    pace.take(10, 1_000)
    pace.rejected(1.0, 5)
    share = pace.share
    pace.rejected(1.1, 5)
    assert pace.share == share


def test_one_chunk_that_meets_a_window_badly_costs_little() -> None:
    pace = ShardPace(0.0)
    sent_in(pace, 2, 100)
    pace.rejected(2.0, 15)
    assert pace.share > 0.97
