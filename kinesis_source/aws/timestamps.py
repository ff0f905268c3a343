"""Moments on the wire: whole milliseconds, whatever botocore's version.

Runs on driver and executors. Kinesis takes timestamps to the millisecond; older versions of
botocore cut them to whole seconds on their way out.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
from email.utils import parsedate_to_datetime
from typing import Any, Final

__all__ = [
    "date_header_ms",
    "from_epoch_ms",
    "keep_milliseconds",
    "lifetime_s",
    "note_timestamps",
    "told_time_ms",
    "with_wire_timestamp",
]

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_CONTEXT_KEY: Final = "kinesis_source_epoch_ms"
_MILLISECOND: Final = datetime.timedelta(milliseconds=1)
_TOLD: Final = re.compile(r"currentTimestampInMillis: (\d{13})\b", re.ASCII)


def from_epoch_ms(epoch_ms: int) -> datetime.datetime:
    """Return ms since 1970 as a datetime in UTC, without a detour over floats."""
    return _EPOCH + epoch_ms * _MILLISECOND


@functools.lru_cache(maxsize=16)  # all replies of a second have the same
def date_header_ms(header: str | None) -> int | None:
    """Return an HTTP Date header in ms since 1970, None if there is none that can be read."""
    try:
        return round(parsedate_to_datetime(header or "").timestamp() * 1000)
    except (TypeError, ValueError):
        return None


def told_time_ms(refusal: str) -> int | None:
    """Return Kinesis's time from the text that refuses a moment as future, if it tells it."""
    found = _TOLD.search(refusal)
    return int(found.group(1)) if found is not None else None


def lifetime_s(expiry: datetime.datetime, date_header: str | None) -> float:
    """Return how long credentials live, by AWS's clock where the reply told it."""
    now_ms = date_header_ms(date_header)
    if now_ms is None:
        return (expiry - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    return expiry.timestamp() - now_ms / 1000


def with_wire_timestamp(params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with their Timestamp as JSON has it: seconds, to the millisecond."""
    moment = params.get("Timestamp")
    if moment is None:
        return params
    return {**params, "Timestamp": (moment - _EPOCH) // _MILLISECOND / 1000}


def note_timestamps(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Handle ``before-parameter-build``: remember the moment asked for in the call's context."""
    for holder in (params, params.get("ShardFilter", {})):
        if isinstance(holder.get("Timestamp"), datetime.datetime):
            context[_CONTEXT_KEY] = (holder["Timestamp"] - _EPOCH) // _MILLISECOND


def keep_milliseconds(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Handle ``before-call``: write the remembered moment into the body, before it is signed."""
    epoch_ms = context.get(_CONTEXT_KEY)
    if epoch_ms is None:
        return
    body = json.loads(params["body"])
    holder = body.get("ShardFilter", body)
    if holder.get("Timestamp") != epoch_ms / 1000:
        holder["Timestamp"] = epoch_ms / 1000
        params["body"] = json.dumps(body).encode()
