"""Places per stream and shard: this source's form, and those of other connectors' checkpoints."""

from __future__ import annotations

import json

import pytest

from kinesis_source.errors import OptionError
from kinesis_source.model.positions import END, TRIM_HORIZON, AtTimestamp
from kinesis_source.options.parse import parse_options
from kinesis_source.options.settings import (
    LATEST,
    NumberedRecord,
    ReadSettings,
    ShardStarts,
    StreamSettings,
    StreamStarts,
)
from kinesis_source.options.start import read_ending_position, read_initial_position
from kinesis_source.options.values import BadValueError

A, B = "shardId-000000000000", "shardId-000000000001"
CLICKS = StreamSettings("clicks", "clicks")


def shards_of(document: object, stream: StreamSettings = CLICKS) -> dict[str, object]:
    places = read_initial_position(json.dumps(document))
    assert isinstance(places, StreamStarts)
    found = places.of(stream)
    assert isinstance(found, ShardStarts)
    return dict(found.shards)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({"after": "495"}, NumberedRecord("495")),
        ({"from": "495"}, NumberedRecord("495", is_read=False)),
        ({"AFTER": "0"}, NumberedRecord("0")),
        ({"at_timestamp": "2023-08-30T19:00:05Z"}, AtTimestamp(1_693_422_005_000)),
        ({"at_timestamp": "1693422005250"}, AtTimestamp(1_693_422_005_250)),
        ("latest", LATEST),
        ("TRIM_HORIZON", TRIM_HORIZON),
        ("end", END),
        # awslabs and Qubole
        (
            {"iteratorType": "AFTER_SEQUENCE_NUMBER", "iteratorPosition": "495"},
            NumberedRecord("495"),
        ),
        (
            {"iteratorType": "AT_SEQUENCE_NUMBER", "iteratorPosition": "495"},
            NumberedRecord("495", is_read=False),
        ),
        (
            {"iteratorType": "AT_TIMESTAMP", "iteratorPosition": "1693422005250"},
            AtTimestamp(1_693_422_005_250),
        ),
        ({"iteratorType": "TRIM_HORIZON", "iteratorPosition": ""}, TRIM_HORIZON),
        ({"iteratorType": "LATEST", "iteratorPosition": ""}, LATEST),
        ({"iteratorType": "SHARD_END", "iteratorPosition": ""}, END),
    ],
)
def test_a_place(place: object, expected: object) -> None:
    assert shards_of({A: place}) == {A: expected}
    assert shards_of({"clicks": {A: place, B: "end"}}) == {A: expected, B: END}


def test_a_record_that_another_connector_had_taken_apart_in_part_is_read_again() -> None:
    place = {
        "iteratorType": "AFTER_SEQUENCE_NUMBER",
        "iteratorPosition": "495",
        "subSequenceNumber": 3,
        "isLast": False,
    }
    assert shards_of({A: place}) == {A: NumberedRecord("495", is_read=False)}
    assert shards_of({A: {**place, "isLast": True}}) == {A: NumberedRecord("495")}


def test_metadata_of_another_connector_name_the_stream() -> None:
    place = {"iteratorType": "AFTER_SEQUENCE_NUMBER", "iteratorPosition": "495"}
    document = {"metadata": {"streamName": "clicks", "batchId": "7"}, A: place}
    assert shards_of(document) == {A: NumberedRecord("495")}
    text = json.dumps({**document, "metadata": {"streamName": "orders"}})
    with pytest.raises(OptionError, match="places in stream 'orders', which is not read"):
        parse_options({"streamName": "clicks", "region": "us-east-1", "initialPosition": text})


def test_databricks_form() -> None:
    shard = {"stream": "clicks", "firstSeqNum": "1", "closed": False, "msBehindLatest": "0"}
    document = {
        "shards": [
            {**shard, "shardId": A, "lastSeqNum": "495"},
            {**shard, "shardId": B, "lastSeqNum": "496", "stream": "orders"},
        ]
    }
    assert shards_of(document) == {A: NumberedRecord("495")}
    assert shards_of(document, StreamSettings("orders", "orders")) == {B: NumberedRecord("496")}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "is an empty JSON object"),
        ({A: {"after": 495}}, "no sequence number in quotes"),
        ({A: {"after": "0495"}}, "no sequence number"),
        ({A: {"after": "1", "from": "1"}}, "as the place in"),
        ({A: {"behind": "1"}}, "as the place in"),
        ({A: "yesterday"}, "as the place in"),
        ({A: None}, "as the place in"),
        ({A: {"at_timestamp": "yesterday"}}, "no position"),
        ({"clicks": {"a shard": "end"}}, "no shard id"),
        ({"clicks": []}, "neither text nor object"),
        ({"clicks": {}}, "neither text nor object"),
        ({"clicks": '{"shardId-000000000000": "end"}'}, "JSON within JSON"),
        ({"metadata": {}}, "names no shard"),
        ({"shards": []}, "names no shard"),
        ({"shards": [{"stream": "clicks"}]}, "names no shardId"),
        ({"shards": [{"shardId": A}]}, "no sequence number"),
        ({A: {"iteratorType": "SOMEWHERE"}}, "iterator type 'SOMEWHERE'"),
        ({A: {"iteratorType": "AFTER_SEQUENCE_NUMBER"}}, "no sequence number"),
    ],
)
def test_what_is_no_place(document: object, says: str) -> None:
    with pytest.raises(BadValueError) as caught:
        read_initial_position(json.dumps(document))
    assert caught.value.code == "OPTION_VALUE"
    assert says in caught.value.problem


def settings_of(position: object, streams: str = "clicks,orders") -> ReadSettings:
    return parse_options(
        {
            "streamName": streams,
            "region": "us-east-1",
            "initialPosition": json.dumps(position),
        }
    ).read


def test_each_stream_starts_where_it_is_said() -> None:
    read = settings_of({"clicks": "latest", "orders": {A: "end"}})
    clicks, orders = read.streams
    assert read.initial_of(clicks) is LATEST
    assert read.initial_of(orders) == ShardStarts(((A, END),))


@pytest.mark.parametrize(
    ("position", "says"),
    [
        ({A: "end"}, "shards without their stream, and 2 streams are read"),
        ({"clicks": "latest"}, "none of stream 'orders'"),
        ({"clicks": "latest", "orders": "latest", "payments": "latest"}, "'payments'"),
    ],
)
def test_places_must_name_the_streams_that_are_read(position: object, says: str) -> None:
    with pytest.raises(OptionError, match=says) as caught:
        settings_of(position)
    assert caught.value.code == "OPTION_CONFLICT"


def test_a_moment_in_the_future_is_found_wherever_it_stands() -> None:
    with pytest.raises(OptionError, match="in the future"):
        settings_of({"clicks": "latest", "orders": {A: {"at_timestamp": "2999-01-01"}}})


def test_ends() -> None:
    assert read_ending_position("latest") is LATEST
    assert read_ending_position("1693422005250") == AtTimestamp(1_693_422_005_250)
    places = read_ending_position(json.dumps({A: {"after": "495"}, B: "latest"}))
    assert isinstance(places, StreamStarts)


@pytest.mark.parametrize(
    "document",
    [
        "trim_horizon",
        {A: {"from": "1"}},
        {A: "trim_horizon"},
        {A: {"at_timestamp": "2023-08-30"}},
    ],
)
def test_what_a_read_cannot_end_at(document: object) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(BadValueError):
        read_ending_position(text)
