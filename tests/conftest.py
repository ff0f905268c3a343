"""Fixtures for all tiers: one Spark session, an emulator for each test, no stray AWS settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from kinesis_source.native import DECODER_VARIABLE
from tests.decoding import need_native

# Before pyspark is imported: workers must run this interpreter (else they run the system's Python),
# and nothing of the machine's own AWS configuration may reach a test.
os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ.update(
    AWS_EC2_METADATA_DISABLED="true",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by fixture, so that ``-m "not spark"`` is the quick loop."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "spark_session" in fixtures:
            item.add_marker(pytest.mark.spark)


@pytest.fixture(scope="module", params=["python", "native"])
def decoder(request) -> Iterator[str]:
    """The decoder of this process; who uses this runs once with each."""
    if request.param == "native":
        need_native()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DECODER_VARIABLE, request.param)
        yield request.param


@pytest.fixture
def spark(spark_session) -> Iterator:
    """The session, with the format registered by look-up alone; no query outlives its test."""
    yield spark_session
    for query in spark_session.streams.active:
        query.stop()
