"""The planner on literal lineages: a split into b and c, which merge into d."""

import pytest

from kinesis_source.errors import OffsetError
from kinesis_source.model.offsets import StreamOffset, StreamPosition
from kinesis_source.model.positions import (
    END,
    LOST,
    TRIM_HORIZON,
    AfterRecord,
    AtTimestamp,
    FromRecord,
    OldestSince,
    ShardEnd,
    with_emptiness,
)
from kinesis_source.model.ranges import Density, ShardRange
from kinesis_source.model.shards import Lineage, Shard
from kinesis_source.plan.batch_rules import (
    StreamHints,
    awaits_children,
    group_ranges,
    plan_ranges,
)
from kinesis_source.plan.batch_rules import plan_end as end_of
from kinesis_source.plan.batch_rules import readable_shards as readable_at

A = Shard("a", (), 0, 99, is_closed=True)
B = Shard("b", ("a",), 0, 49, is_closed=True)
C = Shard("c", ("a",), 50, 99, is_closed=True)
D = Shard("d", ("c", "b"), 0, 99, is_closed=False)
OTHER = Shard("x", (), 100, 199, is_closed=False)
ALL = Lineage([D, OTHER, C, A, B])
AT_5, AT_9 = AfterRecord("5", 50), AfterRecord("9", 90)
NOW = 1_000
WHOLE = OldestSince(NOW)


def readable_shards(start, lineage):
    return readable_at(start, lineage, NOW)


def plan_end(start, lineage, bounds, resets=None):
    return end_of(start, lineage, readable_shards(start, lineage), bounds, resets)


def offset(shards, created_ms=1, **more) -> StreamOffset:
    return StreamOffset({"s": StreamPosition(created_ms, shards)}, **more)


def test_children_wait_until_the_parent_is_finished_at_the_start_of_the_batch() -> None:
    assert readable_shards({"a": AT_5, "x": AT_5}, ALL) == {"a": AT_5, "x": AT_5}
    assert plan_end({"a": AT_5, "x": AT_5}, ALL, {"a": END}) == {"a": END, "x": AT_5}


def test_both_children_of_a_split_begin_at_their_oldest_record() -> None:
    start = {"a": END, "x": AT_5}
    assert readable_shards(start, ALL) == {"b": WHOLE, "c": WHOLE, "x": AT_5}
    end = plan_end(start, ALL, {"b": AT_9})
    assert end == {"b": AT_9, "c": WHOLE, "x": AT_5}


def test_a_merged_child_waits_for_both_parents() -> None:
    assert readable_shards({"b": END, "c": AT_5, "x": AT_5}, ALL) == {"c": AT_5, "x": AT_5}
    assert plan_end({"b": END, "c": AT_5, "x": AT_5}, ALL, {}) == {
        "b": END,
        "c": AT_5,
        "x": AT_5,
    }
    assert readable_shards({"b": END, "c": END, "x": AT_5}, ALL)["d"] == WHOLE
    assert plan_end({"b": END, "c": END, "x": AT_5}, ALL, {}) == {"d": WHOLE, "x": AT_5}


def test_a_parent_stays_until_its_late_second_child_is_listed() -> None:
    half = Lineage([A, B, OTHER])
    end = plan_end({"a": END, "x": AT_5}, half, {"b": END})
    assert end == {"a": END, "b": END, "x": AT_5}
    assert awaits_children(end, half)
    later = plan_end(end, Lineage([A, B, C, OTHER]), {"c": AT_9})
    assert later == {"b": END, "c": AT_9, "x": AT_5}


def test_a_grandchild_waits_for_a_parent_that_is_not_listed_yet() -> None:
    hole = Lineage([A, B, D, OTHER])
    assert readable_shards({"b": END, "a": END, "x": AT_5}, hole) == {"x": AT_5}


def test_what_was_read_before_is_not_read_again() -> None:
    assert readable_shards({"d": AT_5, "x": AT_5}, ALL) == {"d": AT_5, "x": AT_5}


def test_an_older_listing_that_lacks_a_shard_brings_nothing_back() -> None:
    assert readable_shards({"d": AT_5, "x": AT_5}, Lineage([A, OTHER])) == {"d": AT_5, "x": AT_5}


def test_children_of_a_parent_that_is_no_longer_listed_follow_it() -> None:
    trimmed = Lineage([B, C, D, OTHER])
    start = {"a": END, "x": AT_5}
    assert plan_end(start, trimmed, {}) == {"b": WHOLE, "c": WHOLE, "x": AT_5}


def test_a_start_at_a_moment_may_hold_a_parent_and_its_child() -> None:
    start = {"a": AtTimestamp(7), "b": AtTimestamp(7), "c": AtTimestamp(7)}
    assert readable_shards(start, ALL) == {"a": AtTimestamp(7), "x": WHOLE}
    finished = plan_end(start, ALL, {"a": END, "b": AT_9})
    assert finished["a"] == END
    assert finished["b"] == AtTimestamp(7)
    assert "a" not in plan_end(finished, ALL, {})


def test_no_news_gives_an_equal_end() -> None:
    start = {"d": AT_9, "x": TRIM_HORIZON}
    assert plan_end(start, ALL, {}) == start
    assert plan_end(start, ALL, {"d": AT_5, "x": TRIM_HORIZON}) == start  # never back


def test_bounds_of_shards_that_must_wait_are_ignored() -> None:
    assert plan_end({"a": AT_5, "x": AT_5}, ALL, {"b": AT_9}) == {"a": AT_5, "x": AT_5}


def test_only_finished_shards_with_a_hole_below_await_children() -> None:
    assert not awaits_children({"a": END}, ALL)
    assert not awaits_children({"b": AT_5}, Lineage([B]))
    assert not awaits_children({"gone": END}, ALL)


def test_ranges_follow_from_the_two_offsets() -> None:
    start = offset({"a": END, "b": AT_5, "x": AtTimestamp(7)})
    end = offset({"b": AT_9, "c": END, "d": TRIM_HORIZON, "x": AtTimestamp(7)})
    assert plan_ranges(start, end) == [
        ShardRange("s", "b", AT_5, AT_9),
        ShardRange("s", "c", TRIM_HORIZON, END),
    ]


def test_batch_0_begins_where_its_end_says() -> None:
    resolved = {"s": StreamPosition(1, {"x": AtTimestamp(7)})}
    end = offset({"x": AT_9}, start=resolved)
    asked_again = offset({"x": AtTimestamp(700)}, is_initial=True)
    assert plan_ranges(asked_again, end) == [ShardRange("s", "x", AtTimestamp(7), AT_9)]


def test_a_stream_that_was_added_has_no_rows_in_its_first_batch() -> None:
    end = StreamOffset(
        {"s": StreamPosition(1, {"x": AT_9}), "t": StreamPosition(1, {"x": TRIM_HORIZON})}
    )
    assert plan_ranges(offset({"x": AT_5}), end) == [ShardRange("s", "x", AT_5, AT_9)]


def test_a_re_created_stream_begins_anew_under_the_same_shard_ids() -> None:
    ranges = plan_ranges(offset({"x": AT_9, "y": AT_9}), offset({"x": AT_5}, created_ms=2))
    assert ranges == [ShardRange("s", "x", TRIM_HORIZON, AT_5)]


def test_an_end_that_lacks_an_unfinished_shard_is_refused() -> None:
    with pytest.raises(OffsetError) as caught:
        plan_ranges(offset({"x": AT_5}), offset({"d": AT_9}))
    assert str(caught.value) == (
        "[OFFSET_MISMATCH] Shard 'x' of stream 's' is in a batch's start offset but not in its end "
        "offset. Restore the checkpoint from a copy, or start with a new checkpoint directory."
    )


@pytest.mark.parametrize(
    ("count", "per_task", "sizes"),
    [(0, 5, []), (1, 5, [1]), (5, 5, [5]), (6, 5, [3, 3]), (11, 5, [4, 4, 3]), (3, 1, [1, 1, 1])],
)
def test_ranges_are_dealt_evenly(count, per_task, sizes) -> None:
    ranges = [ShardRange("s", str(n), TRIM_HORIZON, END) for n in range(count)]
    groups = group_ranges(ranges, per_task)
    assert [len(group) for group in groups] == sizes
    assert sorted(one.shard_id for group in groups for one in group) == sorted(
        map(str, range(count))
    )


def test_a_lost_shard_has_no_range_and_lets_its_children_begin() -> None:
    start = {"a": AT_5, "x": AT_5}
    end = plan_end(start, ALL, {}, {"a": LOST})
    assert end == {"a": LOST, "x": AT_5}
    assert plan_ranges(offset(start), offset(end)) == []
    assert plan_end(end, ALL, {"b": AT_9}) == {"b": AT_9, "c": WHOLE, "x": AT_5}


def test_an_idle_position_that_is_known_empty_for_longer_replaces_the_older_one() -> None:
    start = {"d": AT_9, "x": AT_5}
    noted = with_emptiness(AT_9, 5_000)
    end = plan_end(start, ALL, {"d": noted})
    assert end == {"d": noted, "x": AT_5}
    assert plan_ranges(offset(start), offset(end)) == []
    assert plan_end(end, ALL, {"d": AT_9}) == end  # never back


def test_children_know_from_their_parents_when_they_were_empty() -> None:
    start = {"b": ShardEnd(40), "c": ShardEnd(70), "x": AT_5}
    assert readable_shards(start, ALL)["d"] == OldestSince(NOW, 70)
    assert readable_shards({"a": ShardEnd(30), "x": AT_5}, ALL)["b"] == OldestSince(NOW, 30)


def test_a_batch_begins_with_the_record_that_planning_saw_first() -> None:
    begins = {"s": {"b": FromRecord("7", 70), "x": FromRecord("4", 40)}}
    start, end = offset({"x": AT_5}), offset({"b": AT_9, "x": AT_9}, begins=begins)
    assert plan_ranges(start, end) == [
        ShardRange("s", "b", FromRecord("7", 70), AT_9),
        ShardRange("s", "x", AT_5, AT_9),
    ]


def test_tasks_hear_what_the_driver_knows() -> None:
    hints = {"s": StreamHints({"x": Density(10.0)}, 86_400_000)}
    (one,) = plan_ranges(offset({"x": AT_5}), offset({"x": AT_9}), hints)
    assert (one.density, one.retention_ms) == (Density(10.0), 86_400_000)


def test_a_range_to_the_end_has_one_form_whatever_is_known_of_its_time() -> None:
    (one,) = plan_ranges(offset({"x": AT_5}), offset({"x": ShardEnd(70)}))
    assert one == ShardRange("s", "x", AT_5, END)
