"""Observations: splits, merges, the end of a closed shard."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from .witness import (
    Page,
    Shard,
    Stream,
    Witness,
    hash_range,
    observation,
    outcome,
    texts,
)


def _lineage(stream: Stream) -> dict[str, dict[str, Any]]:
    """Return what the listing says of each shard, by the last digit of its id."""
    return {
        shard["ShardId"][-1]: {
            "parents": sorted(
                shard[key][-1] for key in ("ParentShardId", "AdjacentParentShardId") if key in shard
            ),
            "closed": "EndingSequenceNumber" in shard["SequenceNumberRange"],
        }
        for shard in stream.shards()
    }


def _children(page: Page) -> list[dict[str, Any]]:
    """Return a page's ChildShards by hash range."""
    children = sorted(page.get("ChildShards") or [], key=hash_range)
    return [
        {"id": child["ShardId"][-1], "parents": sorted(p[-1] for p in child["ParentShards"])}
        for child in children
    ]


@observation
def a_split_closes_one_shard_and_opens_two(witness: Witness) -> object:
    stream = witness.stream(shards=2)
    parent = stream.shards()[0]
    low, high = stream.split(parent)
    whole = hash_range(low)[0], hash_range(high)[1]
    return {
        "lineage": _lineage(stream),
        "ranges_meet": hash_range(low)[1] + 1 == hash_range(high)[0],
        "ranges_are_the_parents": whole == hash_range(parent),
        "open": stream.summary()["OpenShardCount"],
    }


@observation
def a_merge_closes_two_shards_and_opens_one(witness: Witness) -> object:
    stream = witness.stream(shards=3)
    first, second, _ = stream.shards()
    child = stream.merge(first, second)
    return {
        "lineage": _lineage(stream),
        "parent": child["ParentShardId"][-1],
        "adjacent": child["AdjacentParentShardId"][-1],
        "range": hash_range(child) == (hash_range(first)[0], hash_range(second)[1]),
        "open": stream.summary()["OpenShardCount"],
    }


@observation
def after_a_split_records_go_to_the_children(witness: Witness) -> object:
    stream = witness.stream()
    (parent,) = stream.shards()
    stream.put("before", parent)
    low, high = stream.split(parent)
    for child in (low, high):
        stream.put(child["ShardId"][-1], child)
    return [stream.read(shard) for shard in (parent, low, high)]


@observation
def a_split_shard_ends_with_its_children(witness: Witness) -> object:
    stream = witness.stream()
    (parent,) = stream.shards()
    stream.put_all(3, parent)
    stream.split(parent)
    pages = stream.pages(stream.iterator(parent), limit=2)
    return {
        "records": [text for page in pages for text in texts(page)],
        "children_only_at_the_end": [bool(page.get("ChildShards")) for page in pages][:-1],
        "next": pages[-1].get("NextShardIterator"),
        "children": _children(pages[-1]),
        "behind": pages[-1]["MillisBehindLatest"],
    }


@observation
def the_last_page_of_a_closed_shard_may_hold_records(witness: Witness) -> object:
    """Which page ends the shard where the records fit in one: the one with them, or one more."""
    stream = witness.stream()
    (parent,) = stream.shards()
    stream.put_all(3, parent)
    stream.split(parent)
    pages = stream.pages(stream.iterator(parent))
    return [(len(page["Records"]), "NextShardIterator" in page) for page in pages]


@observation
def merged_shards_both_end_with_their_child(witness: Witness) -> object:
    stream = witness.stream(shards=2)
    first, second = stream.shards()
    stream.put("first", first)
    stream.put("second", second)
    child = stream.merge(first, second)
    stream.put("child", child)
    ends = [stream.pages(stream.iterator(shard)) for shard in (first, second)]
    return {
        "records": [stream.read(shard) for shard in (first, second, child)],
        "children": [_children(pages[-1]) for pages in ends],
    }


@observation
def an_empty_closed_shard_ends_at_once(witness: Witness) -> object:
    stream = witness.stream()
    (parent,) = stream.shards()
    stream.split(parent)
    pages = stream.pages(stream.iterator(parent))
    return len(pages), pages[-1].get("NextShardIterator"), _children(pages[-1])


@observation
def an_iterator_from_before_the_split_ends_too(witness: Witness) -> object:
    stream = witness.stream()
    (parent,) = stream.shards()
    stream.put("0", parent)
    iterator = stream.page(stream.iterator(parent))["NextShardIterator"]
    stream.split(parent)
    page = stream.page(iterator)
    return texts(page), page.get("NextShardIterator"), _children(page)


@observation
def latest_on_a_closed_shard_has_nothing_left(witness: Witness) -> object:
    stream = witness.stream()
    (parent,) = stream.shards()
    stream.put("0", parent)
    stream.split(parent)
    page = stream.page(stream.iterator(parent, "LATEST"))
    return texts(page), page["MillisBehindLatest"]


@observation
def a_closed_shard_is_read_from_its_last_record_and_from_a_moment(witness: Witness) -> object:
    stream = witness.stream()
    (parent,) = stream.shards()
    last = stream.put_all(3, parent)[-1]
    record = stream.page(stream.iterator(parent))["Records"][0]
    stream.split(parent)
    before = record["ApproximateArrivalTimestamp"] - timedelta(seconds=5)
    return {
        "at": stream.read(parent, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=last),
        "after": stream.read(parent, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=last),
        "moment": stream.read(parent, "AT_TIMESTAMP", Timestamp=before),
    }


def _closed(witness: Witness) -> tuple[Stream, Shard, str]:
    """Return a stream, its closed shard and the sequence number of that shard's last record."""
    stream = witness.stream()
    (parent,) = stream.shards()
    last = stream.put_all(3, parent)[-1]
    stream.split(parent)
    return stream, next(s for s in stream.shards() if s["ShardId"] == parent["ShardId"]), last


@observation
def a_closed_shard_s_end_is_not_below_its_last_record(witness: Witness) -> object:
    _, parent, last = _closed(witness)
    return int(parent["SequenceNumberRange"]["EndingSequenceNumber"]) >= int(last)


@observation
def a_closed_shard_s_end_is_a_position(witness: Witness) -> object:
    stream, parent, _ = _closed(witness)
    end = parent["SequenceNumberRange"]["EndingSequenceNumber"]
    return outcome(stream.iterator, parent, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=end)


@observation
def children_start_above_their_parent_s_records(witness: Witness) -> object:
    stream, parent, last = _closed(witness)
    children = [s for s in stream.shards() if s["ShardId"] != parent["ShardId"]]
    starts = [int(s["SequenceNumberRange"]["StartingSequenceNumber"]) for s in children]
    return [start > int(last) for start in starts]


@observation
def reshardings_that_are_refused(witness: Witness) -> object:
    stream = witness.stream(shards=3)
    first, second, third = stream.shards()
    split, merge = stream.client.split_shard, stream.client.merge_shards
    name = {"StreamName": stream.name}
    start, end = hash_range(first)
    refused = {
        "split_below": outcome(
            split, ShardToSplit=second["ShardId"], NewStartingHashKey=str(start), **name
        ),
        "split_above": outcome(
            split, ShardToSplit=first["ShardId"], NewStartingHashKey=str(end + 1), **name
        ),
        "split_missing": outcome(
            split, ShardToSplit="shardId-000000000099", NewStartingHashKey="1", **name
        ),
        "merge_apart": outcome(
            merge, ShardToMerge=first["ShardId"], AdjacentShardToMerge=third["ShardId"], **name
        ),
        "merge_missing": outcome(
            merge,
            ShardToMerge=first["ShardId"],
            AdjacentShardToMerge="shardId-000000000099",
            **name,
        ),
    }
    return refused, len(stream.shards())


@observation
def a_closed_shard_is_not_split_again(witness: Witness) -> object:
    stream = witness.stream()
    (parent,) = stream.shards()
    stream.split(parent)
    return outcome(stream.split, parent, 2**100)
