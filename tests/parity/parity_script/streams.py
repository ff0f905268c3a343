"""Observations: creating, describing, deleting streams; listing and filtering shards."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any

from .witness import Stream, Witness, hash_range, observation, outcome, wait_for

_MISSING = "parity-no-such-stream"
_TOP = 2**128 - 1


@observation
def summary_of_a_new_stream(witness: Witness) -> object:
    stream = witness.stream(shards=3)
    summary = stream.summary()
    age = datetime.now(timezone.utc) - summary["StreamCreationTimestamp"]
    return {
        "status": summary["StreamStatus"],
        "arn": summary["StreamARN"].replace(stream.name, "NAME"),
        "mode": summary["StreamModeDetails"]["StreamMode"],
        "retention_hours": summary["RetentionPeriodHours"],
        "open_shards": summary["OpenShardCount"],
        "encryption": summary["EncryptionType"],
        "created_now": abs(age) < timedelta(seconds=60),
    }


@observation
def a_stream_is_found_by_its_arn(witness: Witness) -> object:
    stream = witness.stream()
    reply = stream.client.describe_stream_summary(StreamARN=stream.arn)
    shards = stream.client.list_shards(StreamARN=stream.arn)["Shards"]
    return reply["StreamDescriptionSummary"]["StreamName"] == stream.name, len(shards)


@observation
def a_name_is_taken_once(witness: Witness) -> object:
    stream = witness.stream()
    return outcome(stream.client.create_stream, StreamName=stream.name, ShardCount=1)


@observation
def a_missing_stream_is_not_found_by_any_call(witness: Witness) -> object:
    client = witness.connect("kinesis")
    where: dict[str, Any] = {"StreamName": _MISSING}
    return {
        "describe": outcome(client.describe_stream_summary, **where),
        "list": outcome(client.list_shards, **where),
        "put": outcome(client.put_record, Data=b"x", PartitionKey="x", **where),
        "iterator": outcome(
            client.get_shard_iterator,
            ShardId="shardId-000000000000",
            ShardIteratorType="LATEST",
            **where,
        ),
        "delete": outcome(client.delete_stream, **where),
    }


@observation
def a_deleted_stream_is_gone_and_its_name_free(witness: Witness) -> object:
    stream = witness.stream()
    before = stream.summary()["StreamCreationTimestamp"]
    time.sleep(1.1)  # LocalStack shows creation times in whole seconds
    stream.client.delete_stream(StreamName=stream.name)
    describe = stream.client.describe_stream_summary
    gone = "ResourceNotFoundException"
    wait_for(lambda: outcome(describe, StreamName=stream.name) == gone, "the stream is deleted")
    stream.client.create_stream(StreamName=stream.name, ShardCount=1)
    stream.wait_active()
    return {"created_later": stream.summary()["StreamCreationTimestamp"] > before}


@observation
def retention_goes_up_and_not_below_a_day(witness: Witness) -> object:
    stream = witness.stream()
    change = {"StreamName": stream.name}
    raised = outcome(
        stream.client.increase_stream_retention_period, RetentionPeriodHours=48, **change
    )
    stream.wait_active()
    hours = stream.summary()["RetentionPeriodHours"]
    too_low = outcome(
        stream.client.decrease_stream_retention_period, RetentionPeriodHours=23, **change
    )
    return raised, hours, too_low


@observation
def new_shards_share_the_hash_keys_without_gap(witness: Witness) -> object:
    shards = witness.stream(shards=3).shards()
    ranges = sorted(hash_range(shard) for shard in shards)
    ends = [-1, *(high for _, high in ranges)]
    return {
        "ids": [shard["ShardId"] for shard in shards],
        "whole": [low for low, _ in ranges] == [end + 1 for end in ends[:-1]] and ends[-1] == _TOP,
        "open": ["EndingSequenceNumber" not in s["SequenceNumberRange"] for s in shards],
        "no_parents": all("ParentShardId" not in shard for shard in shards),
        "digits": {len(s["SequenceNumberRange"]["StartingSequenceNumber"]) for s in shards},
    }


@observation
def the_hash_key_where_the_second_of_two_shards_starts(witness: Witness) -> object:
    second = witness.stream(shards=2).shards()[1]
    return hash_range(second)[0] - 2**127


@observation
def shards_are_listed_in_pages(witness: Witness) -> object:
    stream = witness.stream(shards=5)
    page = stream.client.list_shards(StreamName=stream.name, MaxResults=2)
    pages = [page]
    while token := page.get("NextToken"):
        page = stream.client.list_shards(NextToken=token, MaxResults=2)
        pages.append(page)
    return [[shard["ShardId"][-1] for shard in page["Shards"]] for page in pages]


@observation
def a_listing_token_goes_without_name(witness: Witness) -> object:
    stream = witness.stream(shards=3)
    token = stream.client.list_shards(StreamName=stream.name, MaxResults=1)["NextToken"]
    listing = stream.client.list_shards
    return outcome(listing, StreamName=stream.name, NextToken=token)


@observation
def a_made_up_listing_token_is_refused(witness: Witness) -> object:
    return outcome(witness.connect("kinesis").list_shards, NextToken="made-up")


@observation
def a_listing_can_start_after_a_shard(witness: Witness) -> object:
    stream = witness.stream(shards=4)
    shards = stream.shards(ExclusiveStartShardId="shardId-000000000001")
    return [shard["ShardId"][-1] for shard in shards]


def _resharded(witness: Witness) -> tuple[Stream, datetime, datetime]:
    """Return a stream whose shard 0 was split into 1 and 2, and moments before and after that."""
    stream = witness.stream()
    time.sleep(1.1)  # whole seconds, see above
    before = datetime.now(timezone.utc)
    time.sleep(1.1)
    stream.split(stream.shards()[0])
    time.sleep(1.1)
    return stream, before, datetime.now(timezone.utc)


@observation
def shard_filters_of_a_split_stream(witness: Witness) -> object:
    stream, before, after = _resharded(witness)
    filters: dict[str, dict[str, Any]] = {
        "at_latest": {"Type": "AT_LATEST"},
        "from_trim_horizon": {"Type": "FROM_TRIM_HORIZON"},
        "after_shard_0": {"Type": "AFTER_SHARD_ID", "ShardId": "shardId-000000000000"},
        "at_before": {"Type": "AT_TIMESTAMP", "Timestamp": before},
        "at_after": {"Type": "AT_TIMESTAMP", "Timestamp": after},
        "from_before": {"Type": "FROM_TIMESTAMP", "Timestamp": before},
        "from_after": {"Type": "FROM_TIMESTAMP", "Timestamp": after},
    }
    return {
        name: sorted(shard["ShardId"][-1] for shard in stream.shards(ShardFilter=shard_filter))
        for name, shard_filter in filters.items()
    }


@observation
def shards_that_were_open_at_the_trim_horizon(witness: Witness) -> object:
    stream = witness.stream()
    stream.split(stream.shards()[0])
    shards = stream.shards(ShardFilter={"Type": "AT_TRIM_HORIZON"})
    return sorted(shard["ShardId"][-1] for shard in shards)


@observation
def a_filter_without_its_value_is_refused(witness: Witness) -> object:
    stream = witness.stream()
    return {
        kind: outcome(stream.shards, ShardFilter={"Type": kind})
        for kind in ("AFTER_SHARD_ID", "AT_TIMESTAMP", "FROM_TIMESTAMP")
    }
