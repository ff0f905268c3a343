"""Fixtures of the tests against LocalStack."""

import uuid

import pytest

from tests.localstack.localstack_harness.fixtures import localstack, mark, prepare

__all__ = ["localstack"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark(items)


def pytest_collection_finish(session: pytest.Session) -> None:
    prepare(session)


@pytest.fixture
def stream_name() -> str:
    # A name that comes back within a second can bring old sequence numbers with it.
    return f"stream-{uuid.uuid4().hex[:12]}"
