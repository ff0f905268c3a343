"""Whatever comes in from outside, checkpoint, options, schema: a value or a coded error.

Nothing else may be raised, nothing may hang, and what is read as an offset has one text.
"""

from __future__ import annotations

import json
import pickle
import time
from typing import Any

import pytest
from bad_values import JSON, OFFSETS, QUICK, SOUND_OFFSETS, nested, outcome, spoilt
from hypothesis import example, given
from hypothesis import strategies as st
from pyspark.sql import types
from simulated_runtime import SimulatedRuntime, close_worlds
from simulated_stream import FakeClock, SimulatedStream

from kinesis_source.datasource import KinesisDataSource
from kinesis_source.errors import KinesisSourceError, OptionError
from kinesis_source.model.offsets import OFFSET_VERSION, StreamOffset
from kinesis_source.options.parse import parse_options
from kinesis_source.plan.batch_rules import plan_ranges
from kinesis_source.plan.micro_batches import MicroBatchPlanner
from kinesis_source.records.schema import resolve_columns
from kinesis_source.spark.stream import KinesisStreamReader


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
        if document["v"] == OFFSET_VERSION:
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


def planning_reader() -> KinesisStreamReader:
    """A reader whose planner asks a stream in memory."""
    clock = FakeClock()
    stream = SimulatedStream(clock=clock, shards=2)
    stream.put(0, 5)
    stream.split(0)
    reader = KinesisStreamReader(READER_SETTINGS, ())
    reader._planner = MicroBatchPlanner(
        stream,
        READER_SETTINGS.read,
        stream.describe,
        runtime=SimulatedRuntime(clock),
    )
    return reader


@QUICK
@given(*[st.one_of(JSON, SOUND_OFFSETS, SOUND_OFFSETS, spoilt(OFFSETS))] * 2)
def test_the_reader_takes_no_harm_from_a_bad_checkpoint(first: Any, last: Any) -> None:
    close_worlds()  # the one before
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
