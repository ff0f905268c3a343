"""The exact text of every kind of offset, as each release wrote it.

If this fails for a release that is out, the code is wrong. Before a release is tagged, its texts
may still change: correct offsets.json, and write its checkpoints again with
``python scripts/write_compat_checkpoints.py <release> --again``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kinesis_source.model.offsets import OFFSET_VERSION, StreamOffset, StreamPosition
from kinesis_source.model.positions import (
    LOST,
    TRIM_HORIZON,
    AfterRecord,
    AtTimestamp,
    FromRecord,
    OldestSince,
    Position,
    ShardEnd,
)

HERE = Path(__file__).resolve().parent
GOLDEN = [
    pytest.param(entry, id=f"{path.parent.name}: {entry['about']}")
    for path in sorted(HERE.glob("*/offsets.json"))
    for entry in json.loads(path.read_text())
]
MAKERS = {
    "trim_horizon": lambda: TRIM_HORIZON,
    "end": ShardEnd,
    "lost": lambda: LOST,
    "after": AfterRecord,
    "at": AtTimestamp,
    "oldest": OldestSince,
}
NEWEST = [entry for entry in GOLDEN if f'"v": {OFFSET_VERSION}}}' in entry.values[0]["text"]]


def position(described: list[Any]) -> Position:
    kind, *values = described
    return MAKERS[kind](*values)


def streams(described: dict[str, Any]) -> dict[str, StreamPosition]:
    return {
        key: StreamPosition(
            stream["created_ms"],
            {shard: position(place) for shard, place in stream["shards"].items()},
            stream.get("retention_ms"),
        )
        for key, stream in described.items()
    }


def offset(value: dict[str, Any]) -> StreamOffset:
    start = value.get("start")
    begins = {
        key: {shard: FromRecord(*record) for shard, record in records.items()}
        for key, records in value.get("begins", {}).items()
    }
    return StreamOffset(
        streams(value["streams"]),
        start=None if start is None else streams(start),
        is_initial=value.get("is_initial", False),
        begins=begins,
    )


@pytest.mark.parametrize("entry", NEWEST)
def test_the_text_of_a_value_stays(entry: dict[str, Any]) -> None:
    assert json.dumps(offset(entry["value"]).to_json()) == entry["text"]


@pytest.mark.parametrize("entry", GOLDEN)
def test_the_value_of_a_text_stays(entry: dict[str, Any]) -> None:
    assert StreamOffset.from_json(json.loads(entry["text"])) == offset(entry["value"])


def test_every_kind_of_position_has_a_text() -> None:
    described = json.dumps([entry.values[0]["value"] for entry in NEWEST])
    for kind in MAKERS:
        assert f'["{kind}"' in described


@pytest.mark.parametrize(
    "path",
    sorted(HERE.glob("*/*/checkpoint/offsets/*")),
    ids=lambda path: "/".join(path.parts[-5:]),
)
def test_what_is_in_the_frozen_checkpoints_is_canonical(path: Path) -> None:
    text = path.read_text().splitlines()[2]
    known = StreamOffset.from_json(json.loads(text))
    again = json.dumps(known.to_json())
    assert StreamOffset.from_json(json.loads(again)) == known
    if json.loads(text)["v"] == OFFSET_VERSION:
        assert again == text
