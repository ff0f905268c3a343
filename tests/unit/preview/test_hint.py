"""The schema that is inferred from JSON holds all that was seen."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesis_source.preview.hint import infer_schema


@pytest.mark.parametrize(
    ("values", "ddl"),
    [
        ([{"a": 1}, {"a": 2.5}], "a DOUBLE"),
        ([{"a": 1}, {"a": "x"}], "a STRING"),
        ([{"a": None}, {"b": True}], "a STRING, b BOOLEAN"),
        ([{"t": "2026-01-02T03:04:05Z"}], "t TIMESTAMP"),
        ([{"t": "2026-01-02T03:04:05Z"}, {"t": "soon"}], "t STRING"),
        ([{"o": {"x": 1}}, {"o": {"y": [1, 2]}}], "o STRUCT<x: BIGINT, y: ARRAY<BIGINT>>"),
        ([{"l": []}, {"l": [{"a": 1}]}], "l ARRAY<STRUCT<a: BIGINT>>"),
        ([{"l": []}], "l ARRAY<STRING>"),
        ([{"o": {}}], "o STRING"),
        ([{"a b": 1, "c`d": 2}], "`a b` BIGINT, `c``d` BIGINT"),
        ([{"a": 2**70}], "a DOUBLE"),
        ([{"a": 1}, {"a": [1]}], "a STRING"),
        ([3, "x", None], ""),
    ],
)
def test_types_that_hold_all_values(values, ddl):
    assert infer_schema(values).ddl == ddl


def test_what_is_no_object_is_counted():
    hint = infer_schema([{"a": 1}, [1], None])
    assert (hint.records, hint.others) == (1, 2)
    assert "2 others" in repr(hint)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.text(min_size=1), JSON, max_size=4), max_size=6))
def test_any_json_has_a_schema(values):
    hint = infer_schema(json.loads(json.dumps(values)))
    compile(hint.code, "hint", "exec")
