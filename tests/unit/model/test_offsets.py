import json

import pytest

from kinesis_source.errors import OffsetError
from kinesis_source.model.offsets import StreamOffset, StreamPosition
from kinesis_source.model.positions import (
    END,
    TRIM_HORIZON,
    AfterRecord,
    AtTimestamp,
    FromRecord,
)

POSITION = StreamPosition(
    1767225600123,
    {
        "shardId-000000000002": TRIM_HORIZON,
        "shardId-000000000001": AfterRecord("4957", 1767225600000),
        "shardId-000000000000": END,
    },
)


def text(offset: StreamOffset) -> str:
    return json.dumps(offset.to_json())


def test_an_offset_has_this_text() -> None:
    assert text(StreamOffset({"clicks": POSITION})) == (
        '{"streams": {"clicks": {"created": 1767225600123, "shards": {'
        '"shardId-000000000000": "end", '
        '"shardId-000000000001": {"after": "4957", "arrival": 1767225600000}, '
        '"shardId-000000000002": "trim_horizon"}}}, "v": 2}'
    )


def test_the_initial_offset_and_the_end_of_batch_0_have_these_texts() -> None:
    start = {"b": StreamPosition(2, {}), "a": StreamPosition(1, {"s": AtTimestamp(5)})}
    assert text(StreamOffset(start, is_initial=True)) == (
        '{"initial": true, "streams": {"a": {"created": 1, "shards": {"s": {"at": 5}}}, '
        '"b": {"created": 2, "shards": {}}}, "v": 2}'
    )
    end = {"a": StreamPosition(1, {"s": END})}
    assert text(StreamOffset(end, start={"a": start["a"]})) == (
        '{"start": {"a": {"created": 1, "shards": {"s": {"at": 5}}}}, '
        '"streams": {"a": {"created": 1, "shards": {"s": "end"}}}, "v": 2}'
    )


def test_what_a_batch_begins_with_has_this_text() -> None:
    begins = {"b": {}, "a": {"t": FromRecord("8", 80), "s": FromRecord("7", 70)}}
    assert text(StreamOffset({}, begins=begins)) == (
        '{"begins": {"a": {"s": {"arrival": 70, "from": "7"}, "t": {"arrival": 80, "from": "8"}}}, '
        '"streams": {}, "v": 2}'
    )


@pytest.mark.parametrize(
    "offset",
    [
        StreamOffset({"clicks": POSITION}),
        StreamOffset({"clicks": POSITION}, is_initial=True),
        StreamOffset({"clicks": POSITION}, start={"clicks": POSITION}),
        StreamOffset({"clicks": POSITION}, begins={"clicks": {"s": FromRecord("7", 70)}}),
        StreamOffset({}),
    ],
)
def test_an_offset_comes_back_from_its_text(offset) -> None:
    assert StreamOffset.from_json(json.loads(text(offset))) == offset


def test_the_order_of_keys_does_not_matter_to_the_text() -> None:
    turned = StreamPosition(POSITION.created_ms, dict(reversed(POSITION.shards.items())))
    assert text(StreamOffset({"clicks": turned})) == text(StreamOffset({"clicks": POSITION}))


def test_an_offset_of_a_later_release_is_named_so() -> None:
    with pytest.raises(OffsetError) as caught:
        StreamOffset.from_json({"v": 3, "whatever": 1})
    assert str(caught.value) == (
        "[OFFSET_NEWER_VERSION] The checkpoint's offset has version 3; this release reads versions "
        "up to 2. Run the query with the release that wrote the checkpoint, or a later one."
    )


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"v": "1", "streams": {}},
        {"v": True, "streams": {}},
        {"v": 0, "streams": {}},
        {"v": 1},
        {"v": 1, "streams": [], "start": None},
        {"v": 1, "streams": {}, "more": 1},
        {"v": 1, "streams": {"a": 5}},
        {"v": 1, "streams": {"a": {"created": 1}}},
        {"v": 1, "streams": {"a": {"created": "1", "shards": {}}}},
        {"v": 1, "streams": {"a": {"created": 1, "shards": []}}},
        {"v": 2, "streams": {}, "begins": []},
        {"v": 2, "streams": {}, "begins": {"a": []}},
    ],
)
def test_what_no_release_wrote_is_refused(document) -> None:
    with pytest.raises(OffsetError, match=r"^\[OFFSET_UNREADABLE\] .* Restore the checkpoint"):
        StreamOffset.from_json(document)
