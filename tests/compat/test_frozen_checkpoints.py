"""A checkpoint that any release wrote is resumed by this code: the rest, exactly once."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kinesis_source.emulator import Emulator
from tests.compat.compat_support import (
    Case,
    ShiftedClock,
    batch_ids,
    open_stream,
    start,
)
from tests.spark.support import BatchLog, wait_for_rows

HERE = Path(__file__).resolve().parent
CASES = sorted(path.parent.relative_to(HERE).as_posix() for path in HERE.glob("*/*/case.json"))
AWAY_S = 3600.0
"""How long after its end the query is started again, by the emulator's clock."""


@pytest.fixture(params=CASES)
def folder(request: pytest.FixtureRequest) -> Path:
    return HERE / request.param


@pytest.fixture
def old_aws(folder: Path) -> Iterator[Emulator]:
    """The stream as it was, an hour later."""
    snapshot = json.loads((folder / "stream.json").read_text())
    clock = ShiftedClock(snapshot["taken_ms"] / 1000 + AWAY_S - time.time())
    with Emulator(clock=clock, signing_clock=time.time) as aws:
        aws.account().load_stream(snapshot)
        yield aws


def test_there_are_frozen_checkpoints() -> None:
    assert len(CASES) >= 9


def test_the_rest_is_read_exactly_once(spark, old_aws, folder, tmp_path) -> None:
    case = Case.load(folder)
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(folder / "checkpoint", checkpoint)
    first = max(batch_ids(checkpoint, "commits"), default=-1) + 1
    stream = open_stream(old_aws)
    new = stream.put(15, prefix="new")

    log = BatchLog()
    query = start(spark, old_aws, case.options, log, checkpoint)
    wait_for_rows(query, log, len(case.rest) + len(new))
    query.processAllAvailable()
    query.stop()

    assert sorted(log.rows) == sorted([*case.rest, *new])
    assert min(log.batches) == first
    if case.logged is not None:
        assert first == case.logged["batch"]
    if case.logged is not None and case.logged["rows"] is not None:
        assert sorted(log.batches[first]) == case.logged["rows"], "a replay with other rows"
