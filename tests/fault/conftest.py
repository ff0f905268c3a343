"""Fixtures of the fault tests: an emulator, quick calls, a deadline for each test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kinesis_source.emulator import Emulator
from kinesis_source.read import pacing
from tests.fault.support import Query, ShiftedClock, query_options

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder; none may take longer than two minutes, whatever hangs."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.fault)
            item.add_marker(pytest.mark.timeout(120))


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
def aws(clock: ShiftedClock) -> Iterator[Emulator]:
    with Emulator(clock=clock, signing_clock=time.time) as emulator:
        yield emulator


@pytest.fixture
def quick_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let executors call as often as they like: for tests of many small pages."""
    monkeypatch.setattr(pacing, "CALLS_WINDOW_S", 0.01)


@pytest.fixture
def start_query(aws: Emulator) -> Iterator[Callable[..., Query]]:
    """Return a function that starts a query with options over the usual ones."""
    queries: list[Query] = []

    def start(stream: str = "events", **options: str) -> Query:
        queries.append(Query(query_options(aws, stream, **options)))
        return queries[-1]

    yield start
    for query in queries:
        query.close()
