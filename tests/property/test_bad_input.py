"""Whatever comes in from outside, checkpoint, options, schema, reply: a value or a coded error.

Nothing else may be raised, nothing may hang, and what is read as an offset has one text.
"""

from __future__ import annotations

import base64
import copy
import json
import pickle
import time
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from botocore.parsers import create_parser
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyspark.sql import types
from simulated_stream import FakeClock, SerialExecutor, SimulatedStream

from kinesis_source.aws.api import Page
from kinesis_source.aws.decode import decode_body, guard_body, on_before_parse, page_from_reply
from kinesis_source.aws.retry import CallFailedError, Kind, RetryPolicy
from kinesis_source.datasource import KinesisDataSource
from kinesis_source.errors import KinesisSourceError, OptionError, StreamError
from kinesis_source.model.offsets import StreamOffset
from kinesis_source.options.parse import parse_options
from kinesis_source.read import micro_batches
from kinesis_source.read.micro_batches import MicroBatchPlanner
from kinesis_source.read.planner import plan_ranges
from kinesis_source.read.stream import KinesisStreamReader
from kinesis_source.records.schema import resolve_columns

QUICK = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=150,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(micro_batches, "ThreadPoolExecutor", SerialExecutor)
        yield


NOW_MS = 1_767_225_660_000
TIMES_MS = st.one_of(
    st.integers(NOW_MS - 10**6, NOW_MS + 10**6),
    st.sampled_from([0, 1, 253_402_300_799_999, 253_402_300_800_000, 10**18, 10**400, -1]),
)
NUMBERS = st.one_of(
    st.integers(10**30 - 60, 10**30 + 60).map(str),
    st.integers(0, 10**129).map(str),
    st.sampled_from(["0", "007", "-1", "1e5", "", "٣", "5\n", "9" * 129, "9" * 130, "9" * 3000]),
)


def positions(
    words: list[str], times_ms: st.SearchStrategy[int], numbers: st.SearchStrategy[str]
) -> st.SearchStrategy[Any]:
    complete = {"complete": times_ms}
    return st.one_of(
        st.sampled_from(words),
        st.fixed_dictionaries({"at": times_ms}, optional=complete),
        st.fixed_dictionaries({"oldest": times_ms}),
        st.fixed_dictionaries({"after": numbers, "arrival": times_ms}, optional=complete),
    )


def offsets(
    created_ms: list[int], shard_ids: st.SearchStrategy[str], inner: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    arn = "arn:aws:kinesis:us-east-1:222222222222:stream/s"
    streams = st.dictionaries(
        st.sampled_from(["s", "s", "other", arn, ""]),
        st.fixed_dictionaries(
            {
                "created": st.sampled_from(created_ms),
                "shards": st.dictionaries(shard_ids, inner, max_size=4),
            }
        ),
        max_size=2,
    )
    return st.fixed_dictionaries(
        {"v": st.just(1), "streams": streams},
        optional={"start": streams, "initial": st.just(True)},
    )


CREATED_MS = 1_767_225_600_000
SHARD_IDS = st.integers(0, 5).map(lambda number: f"shardId-{number:012d}")
SOUND_TIMES_MS = st.integers(NOW_MS - 10**6, NOW_MS + 10**6)
SOUND_NUMBERS = st.integers(10**30 - 60, 10**30 + 60).map(str)
SOUND_OFFSETS = offsets(
    [CREATED_MS, CREATED_MS, 5],
    SHARD_IDS,
    positions(["trim_horizon", "end", "lost"], SOUND_TIMES_MS, SOUND_NUMBERS),
)
POSITIONS = positions(["trim_horizon", "end", "lost", "latest", ""], TIMES_MS, NUMBERS)
OFFSETS = offsets(
    [CREATED_MS, CREATED_MS, 0, -5, 10**400],
    st.one_of(SHARD_IDS, st.sampled_from(["", "\ud800", "é" * 999])),
    POSITIONS,
)
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([10**400, -(10**400), 1, 2]),
        st.floats(),
        st.text(max_size=12),
        POSITIONS,
        OFFSETS,
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.sampled_from(["v", "streams", "start", "initial", "s"]), st.text()),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@st.composite
def spoilt(draw: st.DrawFn, documents: st.SearchStrategy[Any]) -> Any:
    """A document with one or two of its parts replaced, removed, or joined by something new."""
    document = copy.deepcopy(draw(documents))
    for _ in range(draw(st.integers(0, 2))):
        holders = [holder for holder in _holders(document) if holder]
        if not holders:
            return document
        holder = draw(st.sampled_from(holders))
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = draw(st.sampled_from(keys))
        match draw(st.sampled_from(["replace", "replace", "remove", "add"])):
            case "replace":
                holder[key] = draw(JSON)
            case "remove":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(st.text(max_size=8))] = draw(JSON)
    return document


def _holders(value: Any) -> list[Any]:
    found = [value] if isinstance(value, dict | list) else []
    for holder in found:
        inner = holder.values() if isinstance(holder, dict) else holder
        found.extend(part for part in inner if isinstance(part, dict | list))
    return found


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def outcome(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or the coded error that it raises; anything else fails."""
    try:
        return call()
    except KinesisSourceError as error:
        assert len(str(error)) < 2_000  # noqa: PT017 - which error is for the caller to say
        assert str(error).encode()  # noqa: PT017
        return error


def read(document: Any) -> StreamOffset | None:
    """Read an offset; None for one that is refused as it should be."""
    result = outcome(lambda: StreamOffset.from_json(document))
    if isinstance(result, KinesisSourceError):
        assert result.code.startswith("OFFSET_")
        return None
    assert isinstance(result, StreamOffset)
    return result


# Checkpoints


@QUICK
@given(st.one_of(JSON, SOUND_OFFSETS, spoilt(OFFSETS)))
@example({"v": 10**5000, "streams": {}})
@example({"v": 1, "streams": 10**5000})
@example({"v": 1, "streams": {}, "initial": "yes"})
@example({"v": 1, "streams": {}, "initial": False})
@example({"v": 1, "streams": {}, "start": None})
def test_an_offset_is_refused_or_keeps_all_it_says(document: Any) -> None:
    offset = read(document)
    if offset is not None:
        assert offset.to_json() == document
        text = json.dumps(offset.to_json())
        assert json.dumps(StreamOffset.from_json(json.loads(text)).to_json()) == text
        assert text == json.dumps(json.loads(text), sort_keys=True)


@pytest.mark.parametrize("depth", [500, 900, 950, 100_000])
def test_a_deeply_nested_offset_is_refused(depth: int) -> None:
    """An error's text is made from it, deeper in the stack than the parser was."""
    deep = nested(depth)
    for document in (
        deep,
        {"v": 1, "streams": deep},
        {"v": 1, "streams": {"s": deep}},
        {"v": 1, "streams": {"s": {"created": 1, "shards": {"a": deep}}}},
    ):
        assert read(document) is None


@QUICK
@given(SOUND_OFFSETS, SOUND_OFFSETS)
def test_any_two_offsets_make_ranges_or_a_coded_error(first: Any, last: Any) -> None:
    start, end = StreamOffset.from_json(first), StreamOffset.from_json(last)
    ranges = outcome(lambda: plan_ranges(start, end))
    if isinstance(ranges, KinesisSourceError):
        assert ranges.code == "OFFSET_MISMATCH"
        return
    assert ranges == plan_ranges(start, end)
    assert len({(r.stream, r.shard_id) for r in ranges}) == len(ranges)
    assert all(end.streams[r.stream].shards[r.shard_id] == r.end for r in ranges)


READER_SETTINGS = parse_options(
    {"streamName": "s", "region": "us-east-1", "pollInterval": "200ms"}, environ={}
)


class StrictStream(SimulatedStream):
    """Answers for shards that it does not have as the client does."""

    def get_iterator(self, stream: Any, shard_id: str, position: Any, **more: Any) -> str:
        if shard_id not in self.shards:
            raise StreamError("STREAM_SHARD_NOT_FOUND", f"No {shard_id!r}.", "None.")
        return super().get_iterator(stream, shard_id, position, **more)


def planning_reader() -> KinesisStreamReader:
    """A reader whose planner asks a stream in memory."""
    clock = FakeClock()
    stream = StrictStream(clock=clock, shards=2)
    stream.put(0, 5)
    stream.split(0)
    reader = KinesisStreamReader(READER_SETTINGS, ())
    reader._planner = MicroBatchPlanner(
        stream,
        READER_SETTINGS.read,
        stream.describe,
        monotonic=clock.monotonic,
        sleep=clock.sleep,
    )
    return reader


@QUICK
@given(*[st.one_of(JSON, SOUND_OFFSETS, SOUND_OFFSETS, spoilt(OFFSETS))] * 2)
def test_the_reader_takes_no_harm_from_a_bad_checkpoint(first: Any, last: Any) -> None:
    reader = planning_reader()
    for call in (
        lambda: reader.partitions(first, last),
        lambda: reader.latestOffset(first),
        lambda: reader.latestOffset(first, limit=last),
    ):
        began_s = time.process_time()
        outcome(call)
        assert time.process_time() - began_s < 2.0


# Options and schemas


@QUICK
@given(
    st.dictionaries(
        st.one_of(
            st.sampled_from(["streamName", "region", "initialPosition", "awsSecretKey"]), st.text()
        ),
        st.one_of(st.sampled_from(["s", "us-east-1", "latest"]), st.text(), st.none()),
        max_size=5,
    )
)
def test_a_source_is_made_or_refused(options: dict[str, Any]) -> None:
    source = outcome(lambda: KinesisDataSource(options))
    if isinstance(source, OptionError):
        assert source.code.startswith("OPTION_")
        return
    copied = pickle.loads(pickle.dumps(source))  # noqa: S301 - made on the line
    assert copied.settings == source.settings
    assert isinstance(copied.streamReader(copied.schema()), KinesisStreamReader)


TYPES = st.recursive(
    st.sampled_from(
        [
            types.BinaryType(),
            types.StringType(),
            types.StringType("UTF8_LCASE"),
            types.TimestampType(),
            types.TimestampNTZType(),
            types.LongType(),
            types.NullType(),
            types.DecimalType(38, 18),
            types.CharType(3),
            types.VarcharType(3),
            types.DayTimeIntervalType(),
            types.YearMonthIntervalType(),
            types.VariantType(),
        ]
    ),
    lambda inner: st.one_of(
        inner.map(types.ArrayType),
        st.builds(types.MapType, inner, inner),
        st.lists(st.builds(types.StructField, st.text(max_size=5), inner), max_size=3).map(
            types.StructType
        ),
    ),
    max_leaves=5,
)
FIELD_NAMES = st.one_of(
    st.sampled_from(["data", "DATA", "stream", "streamName", "shardId", "subSequenceNumber"]),
    st.text(max_size=8),
)


@QUICK
@given(
    st.lists(st.builds(types.StructField, FIELD_NAMES, TYPES, st.booleans()), max_size=5).map(
        types.StructType
    )
)
def test_a_schema_is_taken_or_refused(schema: types.StructType) -> None:
    columns = outcome(lambda: resolve_columns(schema))
    if isinstance(columns, OptionError):
        assert columns.code == "OPTION_SCHEMA"
        reader = KinesisDataSource({"streamName": "s", "region": "us-east-1"}).streamReader(schema)
        with pytest.raises(OptionError, match="OPTION_SCHEMA"):
            reader.initialOffset()
        return
    assert [column.name for column in columns] == schema.fieldNames()


# Replies

SHAPE = botocore.session.Session().get_service_model("kinesis").operation_model("GetRecords")
RECORDS = st.fixed_dictionaries(
    {
        "SequenceNumber": st.integers(0, 10**56).map(str),
        "PartitionKey": st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
        "ApproximateArrivalTimestamp": st.one_of(
            st.floats(1.7e9, 1.8e9),
            st.integers(1_700_000_000, 1_800_000_000),
            st.sampled_from([1e15, 1e300, 10**15, -1e15, True, "2026-01-01T00:00:00.123Z"]),
        ),
        "Data": st.binary(max_size=30).map(lambda data: base64.b64encode(data).decode()),
    }
)
BODIES = st.fixed_dictionaries(
    {"Records": st.lists(RECORDS, max_size=4)},
    optional={
        "NextShardIterator": st.one_of(st.none(), st.just("AAA"), JSON),
        "MillisBehindLatest": st.one_of(st.integers(0, 10**12), JSON),
        "ChildShards": st.one_of(
            st.just([{"ShardId": "s-2", "ParentShards": ["s-1"]}]), st.lists(JSON, max_size=2), JSON
        ),
    },
)


def page_of(body: bytes) -> Page | Kind:
    """Return what a call gives for a body: a page, or how it fails for good."""

    def call() -> Page:
        response = {"status_code": 200, "headers": {}, "body": body}
        custom: dict[str, object] = {}
        guard_body(response_dict=response)
        on_before_parse(response_dict=response, customized_response_dict=custom)
        parsed = create_parser("json").parse(response, SHAPE.output_shape)
        return page_from_reply({**parsed, **custom})

    try:
        return RetryPolicy(0).run(call, lambda _: False)
    except CallFailedError as failed:
        return failed.kind


def botocores_page(body: bytes) -> Page | None:
    """Return the page that botocore's own parser gives, None if it gives none."""
    response = {"status_code": 200, "headers": {}, "body": body}
    try:
        return page_from_reply(create_parser("json").parse(response, SHAPE.output_shape))
    except Exception:  # noqa: BLE001 - wrong types make it raise anything
        return None


def assert_sound(page: Page) -> None:
    """Whatever is handed on can be turned into rows and asked for more."""
    assert all(type(part) is str for part in (*page.sequence_numbers, *page.partition_keys))
    assert all(type(data) is bytes for data in page.data)
    assert all(type(ms) is int and 0 <= ms < 253_402_300_800_000 for ms in page.arrival_ms)
    assert len({len(page), len(page.partition_keys), len(page.arrival_ms), len(page.data)}) == 1
    assert page.next_iterator is None or type(page.next_iterator) is str
    assert type(page.millis_behind_latest) is int
    assert all(type(child) is str for child in page.child_shard_ids)


def check_body(body: bytes) -> None:
    direct = decode_body(body)
    page = page_of(body)
    if isinstance(page, Page):
        assert_sound(page)
    else:
        assert page is Kind.INCOMPLETE
    if direct is not None:
        assert page == direct
        assert botocores_page(body) in (direct, None)


@QUICK
@given(st.one_of(st.binary(max_size=200), JSON.map(lambda value: json.dumps(value).encode())))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b'{"Records":' + b"[" * 100_000)
@example(b'{"Records":{}}')
@example(b'{"Records":""}')
@example(b'{"Records":[],"ChildShards":5}')
@example(b'{"Records":[],"NextShardIterator":5}')
@example(b"\xff\xfe\x00")
def test_any_body_is_a_page_or_incomplete(body: bytes) -> None:
    check_body(body)


@QUICK
@given(spoilt(BODIES), st.one_of(st.just(1.0), st.floats(0, 1)))
def test_a_spoilt_body_is_botocores_page_or_incomplete(reply: Any, kept: float) -> None:
    body = json.dumps(reply).encode()
    check_body(body[: round(len(body) * kept)])
