"""Values to feed the source with: any JSON, offsets sound and odd, documents with spoilt parts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from kinesis_source.errors import KinesisSourceError

QUICK = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=150,
    suppress_health_check=list(HealthCheck),
)

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
