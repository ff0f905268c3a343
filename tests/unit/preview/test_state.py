"""What a preview says it is doing, from Spark's reports and from its table."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from kinesis_source.preview.state import PreviewState, words

END = {"v": 2, "streams": {"clicks": {}}}


def report(batch_id: int, rows: int, **numbers: int) -> dict:
    source = {"endOffset": json.dumps(END), "latestOffset": json.dumps({"clicks": numbers})}
    return {"batchId": batch_id, "numInputRows": rows, "sources": [source], "sink": {}}


def query(*reports: dict, active: bool = True, error: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(recentProgress=list(reports), isActive=active, exception=lambda: error)


@pytest.fixture
def state() -> PreviewState:
    return PreviewState("seen", "clicks", "latest", max_rows=10)


def test_from_the_call_to_the_first_rows(state):
    assert state.phase == "checking access"
    state.observe(query())
    assert state.phase == "starting"
    state.observe(query(report(0, 0, numOpenShards=4)))
    assert words(state) == (
        "Waiting for the first record: 4 shards, none behind; stream clicks, from latest."
    )
    state.observe(query(report(0, 0, numOpenShards=4), report(1, 3, numOpenShards=4)))
    assert (state.phase, state.rows) == ("running", 3)
    state.observe(query(report(1, 3, numOpenShards=4)))
    assert state.rows == 3, "a report is counted once"


def test_rows_that_are_there_before_their_report_are_no_waiting(state):
    state.observe(query(report(0, 0)))
    state.see(12)
    assert (state.phase, state.rows) == ("running", 12)
    state.observe(query(report(0, 0)))
    assert (state.phase, state.rows) == ("running", 12)


def test_full_stays_full(state):
    state.observe(query(report(0, 12)))
    state.is_full = True
    state.observe(query(report(0, 12)))
    assert state.phase == "running", "until the query has ended"
    state.observe(query(report(0, 12), active=False))
    assert words(state).startswith("Stopped at max_rows = 10: the oldest rows stay")


def test_a_failure_has_its_code(state):
    error = "org.apache...: x\nkinesis_source.errors.StreamError: [STREAM_NOT_FOUND] No. Do."
    state.observe(query(report(0, 2), active=False, error=error))
    assert (state.phase, state.error_code) == ("failed", "STREAM_NOT_FOUND")
    assert state.error == "[STREAM_NOT_FOUND] No. Do."
